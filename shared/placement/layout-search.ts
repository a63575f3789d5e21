import type { Layout } from '../scheduler/layout.ts';
import type { LayerActivity } from './activity.ts';
import { type Change, inverse, NONE } from './layout-change.ts';
import { ReplicaTable } from './replica-table.ts';

/** Weight of the number of instances that reach a_max, against a_max itself: leads the search over plateaus. */
const PLATEAU_WEIGHT = 0.05;
/** Every so manyth batch screens. Batches of one size stand together, so all sizes have their share. */
const SCREENING_STRIDE = 4;
/** Draws until a proposal is given up. */
const PROPOSAL_DRAWS = 16;
/** Share of proposals that change replica counts. */
const REPLICA_CHANGE_SHARE = 0.25;

/**
 * A layout under improvement, with the a_max that AEBS reaches on each of a set of sampled batches. Exact, and fast enough
 * for thousands of trials, since a change concerns only the batches that activate one of its experts, and experts with one
 * replica are counted beforehand.
 */
export class LayoutSearch {
  readonly #instances: number;
  readonly #activity: LayerActivity;
  readonly #table: ReplicaTable;
  /** [E]: batches that activate the expert; those that screen come first. */
  readonly #batchesOf: readonly Int32Array[];
  /** [E]: how many of them screen. */
  readonly #screening: Int32Array;
  /** [S, n_e]: activated experts that can only run on the instance. */
  readonly #pinned: Int32Array;
  /** [S]: what a_max of each batch is multiplied with: its weight, over a_max of an even spread. */
  readonly #scales: Float64Array;
  /** [S]: cost of each batch, and its instance with a_max. */
  readonly #costs: Float64Array;
  readonly #bottleneck: Int32Array;
  /** The batches that the last tried change concerns, and, at their positions in [S], cost and instance under it. */
  readonly #tried: Int32Array;
  #triedCount = 0;
  readonly #triedCosts: Float64Array;
  readonly #triedBottleneck: Int32Array;
  readonly #load: Int32Array;

  /** @param layout A layout that passes `checkLayout`. */
  constructor(layout: Layout, activity: LayerActivity) {
    const { experts, batches, activated, weights } = activity;
    this.#instances = layout.instances;
    this.#activity = activity;
    this.#batchesOf = batchesByExpert(activity);
    this.#screening = Int32Array.from(this.#batchesOf, (list) => list.filter(screens).length);
    this.#pinned = new Int32Array(batches * layout.instances);
    this.#table = new ReplicaTable(layout, experts, (expert, instance, by) =>
      this.#pin(expert, instance, by),
    );
    this.#scales = weights.map((weight, batch) => weight / Math.max(1, activated[batch] / layout.instances));
    this.#load = new Int32Array(layout.instances);
    this.#tried = new Int32Array(batches);
    this.#triedBottleneck = new Int32Array(batches);
    this.#triedCosts = new Float64Array(batches);
    for (let batch = 0; batch < batches; batch += 1) this.#tryCost(batch);
    this.#costs = this.#triedCosts.slice();
    this.#bottleneck = this.#triedBottleneck.slice();
  }

  /** Mean over the batches of a_max in relation to an even spread; 1 is perfect. */
  get cost(): number {
    return this.#costs.reduce((sum, cost) => sum + cost, 0);
  }

  /** The layout as it stands. */
  layout(): Layout {
    return this.#table.layout();
  }

  /** Instances that hold an expert, ascending. */
  holdersOf(expert: number): Int32Array {
    return this.#table.holdersOf(expert);
  }

  /**
   * Draws a change that relieves the largest instance of some batch and leaves the layout valid; undefined when luck fails.
   */
  propose(random: () => number): Change | undefined {
    if (this.#costs.length === 0) return undefined;
    const pick = (length: number): number => Math.floor(random() * length);
    const { active, experts } = this.#activity;
    const { slots, capacity, replicas } = this.#table;
    for (let draw = 0; draw < PROPOSAL_DRAWS; draw += 1) {
      const batch = pick(this.#costs.length);
      const from = this.#bottleneck[batch];
      const expert = slots[from][pick(slots[from].length)];
      const to = pick(this.#instances);
      if (active[batch * experts + expert] === 0 || this.#table.isOn(expert, to)) continue;
      const free = capacity - slots[to].length;
      const slot = pick(slots[to].length + Math.min(1, free));
      const there = slots[to][slot] ?? NONE;
      if (random() < REPLICA_CHANGE_SHARE) {
        if (there === NONE || replicas[there] > 1) {
          return { instance: to, out: there, in: expert, other: NONE };
        }
      } else if (there === NONE || !this.#table.isOn(there, from)) {
        return { instance: to, out: there, in: expert, other: from };
      }
    }
    return undefined;
  }

  /** How much a change would lower the cost; below zero, a rough estimate. The layout stays as it is. */
  benefit(change: Change): number {
    this.#table.apply(change);
    const benefit = this.#tryCosts(change, 0);
    this.#table.apply(inverse(change));
    return benefit;
  }

  /** Makes a change, whatever it does to the cost. */
  make(change: Change): void {
    this.makeIfWorth(change, Number.NEGATIVE_INFINITY);
  }

  /** Makes a change if it lowers the cost by at least `leastBenefit`, which may be 0, and tells whether it did. */
  makeIfWorth(change: Change, leastBenefit: number): boolean {
    this.#table.apply(change);
    if (this.#tryCosts(change, Math.min(0, leastBenefit)) < leastBenefit) {
      this.#table.apply(inverse(change));
      return false;
    }
    for (const batch of this.#tried.subarray(0, this.#triedCount)) {
      this.#costs[batch] = this.#triedCosts[batch];
      this.#bottleneck[batch] = this.#triedBottleneck[batch];
    }
    return true;
  }

  #pin(expert: number, instance: number, by: 1 | -1): void {
    const concerned = this.#batchesOf[expert];
    for (let position = 0; position < concerned.length; position += 1) {
      this.#pinned[concerned[position] * this.#instances + instance] += by;
    }
  }

  /**
   * Costs the batches that a change, already applied, concerns; returns by how much it lowers the cost. Most changes are
   * bad, so a few of the batches screen: where they gain less than `giveUpBelow`, the others are not asked.
   */
  #tryCosts(change: Change, giveUpBelow: number): number {
    this.#triedCount = 0;
    const screened = this.#tryPart(change, true);
    return screened < giveUpBelow ? screened : screened + this.#tryPart(change, false);
  }

  #tryPart({ out, in: entering, other }: Change, screening: boolean): number {
    // Where single replicas change places, a batch that activates both sees no difference.
    const single = other !== NONE && this.#isSingle(out) && this.#isSingle(entering);
    return (
      this.#tryBatchesOf(out, entering, single, screening) +
      this.#tryBatchesOf(entering, out, true, screening)
    );
  }

  /** Costs the batches that activate an expert, but for those that activate `beside` too if `skipBoth`. */
  #tryBatchesOf(expert: number, beside: number, skipBoth: boolean, screening: boolean): number {
    if (expert === NONE) return 0;
    const { active, experts } = this.#activity;
    const concerned = this.#batchesOf[expert];
    const end = screening ? this.#screening[expert] : concerned.length;
    let benefit = 0;
    for (let position = screening ? 0 : this.#screening[expert]; position < end; position += 1) {
      const batch = concerned[position];
      if (skipBoth && beside !== NONE && active[batch * experts + beside] === 1) continue;
      this.#tryCost(batch);
      this.#tried[this.#triedCount] = batch;
      this.#triedCount += 1;
      benefit += this.#costs[batch] - this.#triedCosts[batch];
    }
    return benefit;
  }

  #isSingle(expert: number): boolean {
    return expert !== NONE && this.#table.replicas[expert] === 1;
  }

  /** Runs AEBS on one batch. */
  #tryCost(batch: number): void {
    const { active, experts } = this.#activity;
    const load = this.#load;
    const pinned = this.#pinned;
    const { flexible, hosts, replicas } = this.#table;
    const instances = this.#instances;
    for (let instance = 0; instance < instances; instance += 1) {
      load[instance] = pinned[batch * instances + instance];
    }
    for (let position = 0; position < flexible.length; position += 1) {
      const expert = flexible[position];
      if (active[batch * experts + expert] === 0) continue;
      const row = expert * instances;
      const end = row + replicas[expert];
      let best = hosts[row];
      for (let host = row + 1; host < end; host += 1) {
        if (load[hosts[host]] < load[best]) best = hosts[host];
      }
      load[best] += 1;
    }
    let aMax = 0;
    let reached = 0;
    let bottleneck = 0;
    for (let instance = 0; instance < instances; instance += 1) {
      if (load[instance] > aMax) {
        aMax = load[instance];
        reached = 1;
        bottleneck = instance;
      } else if (load[instance] === aMax) {
        reached += 1;
      }
    }
    this.#triedCosts[batch] = this.#scales[batch] * (aMax + (PLATEAU_WEIGHT * reached) / instances);
    this.#triedBottleneck[batch] = bottleneck;
  }
}

const screens = (batch: number): boolean => batch % SCREENING_STRIDE === 0;

/** [E]: the batches that activate each expert; those that screen come first. */
function batchesByExpert({ experts, batches, active }: LayerActivity): Int32Array[] {
  const all = Int32Array.from({ length: batches }, (_, batch) => batch);
  const order = [...all.filter(screens), ...all.filter((batch) => !screens(batch))];
  const lists = new Int32Array(experts * batches);
  const counts = new Int32Array(experts);
  for (const batch of order) {
    for (let expert = 0; expert < experts; expert += 1) {
      if (active[batch * experts + expert] === 1) {
        lists[expert * batches + counts[expert]] = batch;
        counts[expert] += 1;
      }
    }
  }
  return Array.from(counts, (count, expert) => lists.subarray(expert * batches, expert * batches + count));
}
