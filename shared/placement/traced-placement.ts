import { checkInstances, type Layout, type PlacedInstance, type Placement } from '../scheduler/layout.ts';
import {
  activationLoads,
  type BatchSample,
  coActivation,
  type LayerActivity,
  sampleActivity,
} from './activity.ts';
import { LayoutSearch } from './layout-search.ts';
import { placeReplicas } from './placement.ts';
import { replicaCounts } from './replicas.ts';
import { seededRandom } from './seeded-random.ts';
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
}

/**
 * The placement for the traffic in a trace: replica counts, greedy placement and local search, layer by layer.
 *
 * @throws JanusError when the instances are not numbered 0 … n_e − 1 or their slots cannot hold all experts.
 */
export function placeByTrace(options: TracedPlacementOptions): Placement {
  const { version, model, trace, capacity, instances, seed, effort = THOROUGH_EFFORT } = options;
  checkInstances(instances);
  const { layers, experts, expertsPerToken } = trace.shape;
  const random = seededRandom(seed);
  const layouts = Array.from({ length: layers }, (_, layer) => {
    const activity = sampleActivity(trace.window(layer), expertsPerToken, experts, random, effort.samples);
    return placeLayer(activity, instances.length, capacity, effort.trials, random);
  });
  return { version, model, experts, capacity, instances, layers: layouts };
}

/** Places one layer: replica counts and greedy placement as the paper has them, then a local search on AEBS' own a_max. */
export function placeLayer(
  activity: LayerActivity,
  instances: number,
  capacity: number,
  trials: number,
  random: () => number,
): Layout {
  const loads = activationLoads(activity);
  const replicas = replicaCounts(loads, instances, capacity);
  const layout = placeReplicas({
    replicas,
    loads,
    coActivation: coActivation(activity),
    instances,
    capacity,
  });
  return trials === 0 ? layout : improveLayout(layout, activity, trials, random);
}

/**
 * Lowers a_max by small changes: each is tried on sampled batches with AEBS itself and kept when it is no worse. Greedy
 * placement looks at pairs; only this sees what AEBS makes of the replicas.
 */
export function improveLayout(
  layout: Layout,
  activity: LayerActivity,
  trials: number,
  random: () => number,
): Layout {
  const search = new LayoutSearch(layout, activity);
  for (let trial = 0; trial < trials; trial += 1) {
    const change = search.propose(random);
    if (change !== undefined) search.makeIfWorth(change, 0);
  }
  return search.layout();
}
