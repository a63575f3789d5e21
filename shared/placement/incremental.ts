import { JanusError } from '../errors/janus-error.ts';
import { checkPlacement, type Layout, type Placement } from '../scheduler/layout.ts';
import { sampleActivity } from './activity.ts';
import { type Change, NONE } from './layout-change.ts';
import { LayoutSearch } from './layout-search.ts';
import { type ReplicaMove, replicaMoves } from './placement-moves.ts';
import { seededRandom } from './seeded-random.ts';
import { coveredDomains, keepsCoverage } from './spare-slots.ts';
import type { ActivationTrace } from './trace.ts';
import { THOROUGH_EFFORT } from './traced-placement.ts';

export interface RePlacementOptions {
  /** The placement in force. */
  readonly placement: Placement;
  /** Traffic to place for; layers without rows stay as they are. */
  readonly trace: ActivationTrace;
  /** Size of one expert's weights in one layer, in bytes. */
  readonly expertBytes: number;
  /** Bound on what all instances together load, in bytes. */
  readonly maxMoveBytes: number;
  /** The same seed gives the same result. */
  readonly seed: number;
}

export interface RePlacement {
  /** The next version, or the placement in force itself where no move is worth its bytes or fits the bound. */
  readonly placement: Placement;
  readonly moves: readonly ReplicaMove[];
  /** Bytes that the moves load. */
  readonly movedBytes: number;
}

/** Changes that compete for each step. */
const CANDIDATES = 64;
/** Draws of candidates without a good one after which a layer counts as settled. */
const PATIENCE = 4;
/** Part of the cost (1 is a perfectly even layer) that a change must save per replica loaded, so that noise moves nothing. */
const LEAST_BENEFIT = 5e-4;
/** Changes per layer after which the search ends, however much is allowed to move. */
const MOST_CHANGES_PER_LAYER = 1_000;

/**
 * Improves the placement in force step by step, within a bound on the weights that have to be loaded. Each step is the
 * change, of those drawn over all layers, that lowers a_max most per byte loaded; a replica that returns to where it was
 * costs nothing. What the bound leaves out, a later call with the new placement makes up for. Where spare slots are for
 * coverage, no expert loses its own.
 *
 * @throws JanusError when placement and trace are of different models, or a byte count is not a number of at least 0.
 */
export function rePlace(options: RePlacementOptions): RePlacement {
  const { placement, trace, expertBytes, maxMoveBytes } = options;
  checkOptions(options);
  const layers = openLayers(options);
  const mostLoads = Math.floor(maxMoveBytes / expertBytes);
  let loads = 0;
  for (let left = MOST_CHANGES_PER_LAYER * trace.shape.layers; left > 0; left -= 1) {
    for (const layer of layers) layer.prepare(mostLoads - loads);
    const best = layers.reduce((one, other) => (other.worth > one.worth ? other : one));
    if (best.worth <= 0) break;
    loads += best.make();
  }
  const layouts = layers.map((layer) => layer.layout());
  const next = { ...placement, version: placement.version + 1, layers: layouts };
  const moves = replicaMoves(placement, next);
  if (moves.length === 0) return { placement, moves, movedBytes: 0 };
  return { placement: next, moves, movedBytes: moves.length * expertBytes };
}

function openLayers({ placement, trace, seed }: RePlacementOptions): LayerInChange[] {
  const { experts, expertsPerToken } = trace.shape;
  const random = seededRandom(seed);
  const domains = coveredDomains(placement);
  return placement.layers.map((layout, layer) => {
    const window = trace.window(layer);
    const activity = sampleActivity(window, expertsPerToken, experts, random, THOROUGH_EFFORT.samples);
    return new LayerInChange(layout, new LayoutSearch(layout, activity), random, domains);
  });
}

/** One layer on its way from the layout in force to a better one. */
class LayerInChange {
  /** Benefit per replica loaded of the best change at hand; 0 when there is none. */
  worth = 0;
  readonly #inForce: readonly ReadonlySet<number>[];
  readonly #search: LayoutSearch;
  readonly #random: () => number;
  readonly #domains: Int32Array | null;
  #best: Change | undefined;
  #settled = false;

  /** @param domains that experts are to survive the loss of; null where nothing is asked */
  constructor(inForce: Layout, search: LayoutSearch, random: () => number, domains: Int32Array | null) {
    this.#inForce = inForce.slots.map((held) => new Set(held));
    this.#search = search;
    this.#random = random;
    this.#domains = domains;
  }

  layout(): Layout {
    return this.#search.layout();
  }

  /** Sees to it that the best change at hand loads at most `loads` replicas. */
  prepare(loads: number): void {
    if (this.#best !== undefined && this.#loadsOf(this.#best) > loads) {
      this.#best = undefined;
      this.worth = 0;
    }
    for (let draw = 0; draw < PATIENCE && this.#best === undefined && !this.#settled; draw += 1) {
      for (let candidate = 0; candidate < CANDIDATES; candidate += 1) this.#consider(loads);
    }
    this.#settled = this.#best === undefined;
  }

  /** Makes the best change at hand; returns how many more replicas have to be loaded in all because of it. */
  make(): number {
    const change = this.#best!;
    const loads = this.#loadsOf(change);
    this.#search.make(change);
    this.#best = undefined;
    this.worth = 0;
    return loads;
  }

  #consider(mostLoads: number): void {
    const change = this.#search.propose(this.#random);
    if (change === undefined || !this.#keepsCoverage(change)) return;
    const loads = this.#loadsOf(change);
    if (loads > mostLoads) return;
    const worth = this.#search.benefit(change) / Math.max(1, loads);
    if (worth >= LEAST_BENEFIT && worth > this.worth) {
      this.worth = worth;
      this.#best = change;
    }
  }

  #keepsCoverage(change: Change): boolean {
    const holders = (expert: number): Int32Array => this.#search.holdersOf(expert);
    return this.#domains === null || keepsCoverage(change, holders, this.#domains);
  }

  /** Replicas that a change adds to those to be loaded; negative where it takes back what an earlier one brought. */
  #loadsOf({ instance, out, in: entering, other }: Change): number {
    const isNew = (expert: number, where: number): number =>
      expert === NONE || where === NONE || this.#inForce[where].has(expert) ? 0 : 1;
    return isNew(entering, instance) + isNew(out, other) - isNew(out, instance) - isNew(entering, other);
  }
}

function checkOptions({ placement, trace, expertBytes, maxMoveBytes }: RePlacementOptions): void {
  checkPlacement(placement);
  const { layers, experts } = trace.shape;
  if (placement.layers.length !== layers || placement.experts !== experts) {
    throw new JanusError(
      `the placement has ${placement.layers.length} layers of ${placement.experts} experts, the activation trace ${layers} ` +
        `layers of ${experts}; give the trace of the same model`,
    );
  }
  if (!(expertBytes > 0) || !(maxMoveBytes >= 0)) {
    throw new JanusError(
      `expertBytes is ${expertBytes} and maxMoveBytes ${maxMoveBytes}; give a positive size and a bound of at least 0`,
    );
  }
}
