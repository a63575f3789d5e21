import {
  checkInstances,
  type Layout,
  type PlacedInstance,
  type Placement,
  type SpareSlots,
} from '../scheduler/layout.ts';
import {
  activationLoads,
  type BatchSample,
  coActivation,
  type LayerActivity,
  sampleActivity,
} from './activity.ts';
import { LayoutSearch } from './layout-search.ts';
import { placeForCoverage, placeReplicas } from './placement.ts';
import { replicaCounts } from './replicas.ts';
import { seededRandom } from './seeded-random.ts';
import { coveredDomains, keepsCoverage } from './spare-slots.ts';
import type { ActivationTrace } from './trace.ts';

/** How much computing a placement may cost. */
export interface PlacementEffort {
  /**
   * Batches that activations are counted over, and that the local search tries its changes on. Small batches vary more than
   * large ones and need more samples; the largest stand for steps that activate every expert that is in use at all.
   */
  readonly samples: readonly BatchSample[];
  /** Changes that the local search tries per layer; 0 leaves the greedy placement as it is. */
  readonly trials: number;
}

/** About 4 ms per layer of 160 experts on 16 instances. */
export const QUICK_EFFORT: PlacementEffort = {
  samples: [
    { tokens: 1, batches: 256 },
    { tokens: 4, batches: 96 },
    { tokens: 16, batches: 48 },
    { tokens: 64, batches: 24 },
    { tokens: 256, batches: 6 },
    { tokens: 1_024, batches: 2 },
  ],
  trials: 100,
};

/** About 60 ms per layer of 160 experts on 16 instances, for 1% to 3% lower a_max; more gains next to nothing. */
export const THOROUGH_EFFORT: PlacementEffort = {
  samples: [
    { tokens: 1, batches: 512 },
    { tokens: 4, batches: 256 },
    { tokens: 16, batches: 128 },
    { tokens: 32, batches: 96 },
    { tokens: 64, batches: 128 },
    { tokens: 128, batches: 64 },
    { tokens: 256, batches: 16 },
    { tokens: 1_024, batches: 4 },
  ],
  trials: 1_000,
};

/** What a placement for known traffic is made from. */
export interface TracedPlacementOptions {
  readonly version: number;
  readonly model: string;
  /** Traffic of the model; a layer without rows is placed as if all experts were alike. */
  readonly trace: ActivationTrace;
  /** C, replica slots per instance and layer. */
  readonly capacity: number;
  /** Numbered 0 … n_e − 1, ascending. */
  readonly instances: readonly PlacedInstance[];
  /** The same seed gives the same placement. */
  readonly seed: number;
  readonly effort?: PlacementEffort;
  /** Default: `load`. */
  readonly spareSlots?: SpareSlots;
}

/**
 * The placement for the traffic in a trace: replica counts, greedy placement and local search, layer by layer.
 *
 * @throws JanusError when the instances are not numbered 0 … n_e − 1 or their slots cannot hold all experts.
 */
export function placeByTrace(options: TracedPlacementOptions): Placement {
  const { version, model, trace, capacity, instances, seed, effort = THOROUGH_EFFORT, spareSlots } = options;
  checkInstances(instances);
  const domains = coveredDomains(options);
  const { layers, experts, expertsPerToken } = trace.shape;
  const random = seededRandom(seed);
  const layouts = Array.from({ length: layers }, (_, layer) => {
    const activity = sampleActivity(trace.window(layer), expertsPerToken, experts, random, effort.samples);
    const layout = placeLayer(activity, instances.length, capacity, domains);
    return effort.trials === 0 ? layout : improveLayout(layout, activity, effort.trials, random, domains);
  });
  const placement = { version, model, experts, capacity, instances, layers: layouts };
  return spareSlots === undefined ? placement : { ...placement, spareSlots };
}

/** Replica counts and greedy placement as the paper has them, or, where there are failure domains, one that covers them. */
function placeLayer(
  activity: LayerActivity,
  instances: number,
  capacity: number,
  domains: Int32Array | null,
): Layout {
  const loads = activationLoads(activity);
  const problem = { loads, coActivation: coActivation(activity), instances, capacity };
  if (domains !== null) return placeForCoverage(problem, domains);
  return placeReplicas({ ...problem, replicas: replicaCounts(loads, instances, capacity) });
}

/**
 * Lowers a_max by small changes: each is tried on sampled batches with AEBS itself and kept when it is no worse. Greedy
 * placement looks at pairs; only this sees what AEBS makes of the replicas.
 *
 * @param domains failure domains of the instances: no expert that is in several of them is to lose that
 */
function improveLayout(
  layout: Layout,
  activity: LayerActivity,
  trials: number,
  random: () => number,
  domains: Int32Array | null,
): Layout {
  const search = new LayoutSearch(layout, activity);
  const holders = (expert: number): Int32Array => search.holdersOf(expert);
  for (let trial = 0; trial < trials; trial += 1) {
    const change = search.propose(random);
    if (change === undefined || (domains !== null && !keepsCoverage(change, holders, domains))) continue;
    search.makeIfWorth(change, 0);
  }
  return search.layout();
}
