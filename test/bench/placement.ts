import { balanceExperts, eplbLayout } from '../../shared/placement/eplb.ts';
import { estimateActivation } from '../../shared/placement/expected-a-max.ts';
import { rePlace } from '../../shared/placement/incremental.ts';
import { staticPlacement } from '../../shared/placement/placement.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import {
  generateTrace,
  RoutingGenerator,
  type RoutingProfile,
  SKEWED_PROFILE,
} from '../../shared/placement/trace-generator.ts';
import {
  type PlacementEffort,
  placeByTrace,
  QUICK_EFFORT,
  THOROUGH_EFFORT,
} from '../../shared/placement/traced-placement.ts';
import type { Layout, Placement } from '../../shared/scheduler/layout.ts';

const INSTANCES = 16;
/** C; with 160 experts 32 of the 192 slots hold further replicas. */
const CAPACITY = 12;
const BATCHES = [1, 4, 16, 64, 256, 512];
const SEEDS = [1, 2, 3];
/** Layers in which layouts are compared, and layers of a large model, whose placement is timed. */
const COMPARED_LAYERS = 4;
const TIMED_LAYERS = 60;
/** A window of 2,048 rows, as one attention instance of 64 sequences has it after 256 steps. */
const SAMPLED_STEPS = 32;
const STEPS_PER_SAMPLE = 8;
/** DeepSeek-V2: EPLB's hierarchical policy packs these groups to nodes. */
const GROUPS = 8;
const NODES = 4;
/** Replicas that a bounded re-placement may move, of the 192 that a layer holds. */
const BOUNDED_MOVES_PER_LAYER = 16;

const instances = Array.from({ length: INSTANCES }, (_, id) => ({ id, host: `host-${id % NODES}` }));

const place = (trace: ActivationTrace, effort: PlacementEffort): Placement =>
  placeByTrace({ version: 1, model: 'bench', trace, capacity: CAPACITY, instances, seed: 1, effort });

const unaware = (trace: ActivationTrace): Placement =>
  staticPlacement({ version: 1, model: 'bench', ...trace.shape, capacity: CAPACITY, instances });

function eplb(trace: ActivationTrace, groups: number, nodes: number): Layout[] {
  const { layers, experts } = trace.shape;
  return Array.from({ length: layers }, (_, layer) => {
    const tokens = new Float64Array(experts);
    for (const expert of trace.window(layer)) tokens[expert] += 1;
    const options = { replicas: INSTANCES * CAPACITY, groups, nodes, gpus: INSTANCES };
    return eplbLayout(balanceExperts(tokens, options), INSTANCES);
  });
}

/** Ours within a bound on moves, from the placement that knows nothing of the traffic. */
function bounded(trace: ActivationTrace): Layout[] {
  const maxMoveBytes = BOUNDED_MOVES_PER_LAYER * trace.shape.layers;
  const options = { placement: unaware(trace), trace, expertBytes: 1, maxMoveBytes, seed: 1 };
  return [...rePlace(options).placement.layers];
}

const LAYOUTS: Readonly<Record<string, (trace: ActivationTrace) => readonly Layout[]>> = {
  ours: (trace) => place(trace, THOROUGH_EFFORT).layers,
  'ours-quick': (trace) => place(trace, QUICK_EFFORT).layers,
  'ours-greedy': (trace) => place(trace, { ...QUICK_EFFORT, trials: 0 }).layers,
  'ours-bounded': bounded,
  eplb: (trace) => eplb(trace, 1, 1),
  'eplb-hierarchical': (trace) => eplb(trace, GROUPS, NODES),
  static: (trace) => unaware(trace).layers,
};

interface PlacementCase {
  readonly layout: string;
  readonly batch: number;
  /** Under AEBS, on traffic after that which the layouts were made for. */
  readonly meanAMax: number;
  readonly relativeToEplb: number;
}

/** Compares layouts by a_max at every batch size, and times placement of a large model. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const seeds = quick ? SEEDS.slice(0, 1) : SEEDS;
  const samples = quick ? 100 : 500;
  const means = new Map<string, number[]>(Object.keys(LAYOUTS).map((name) => [name, BATCHES.map(() => 0)]));
  for (const seed of seeds) {
    const generator = new RoutingGenerator(
      { ...SKEWED_PROFILE, layers: COMPARED_LAYERS },
      seededRandom(seed),
    );
    const seen = generateTrace(generator, SAMPLED_STEPS, STEPS_PER_SAMPLE);
    const later = generateTrace(generator, SAMPLED_STEPS, STEPS_PER_SAMPLE);
    for (const [name, lay] of Object.entries(LAYOUTS)) {
      const layouts = lay(seen);
      for (const [size, batch] of BATCHES.entries()) {
        means.get(name)![size]! +=
          estimateActivation(layouts, later, batch, samples, seed).meanAMax / seeds.length;
      }
    }
  }
  const cases: PlacementCase[] = [...means].flatMap(([layout, byBatch]) =>
    BATCHES.map((batch, size) => ({
      layout,
      batch,
      meanAMax: byBatch[size]!,
      relativeToEplb: byBatch[size]! / means.get('eplb')![size]!,
    })),
  );
  return { cases, ...timePlacement(quick ? 6 : TIMED_LAYERS), profile: SKEWED_PROFILE };
}

/** Times, from trace to checked layouts, of all layers together. */
function timePlacement(layers: number): Record<string, number> {
  const profile: RoutingProfile = { ...SKEWED_PROFILE, layers };
  const trace = generateTrace(new RoutingGenerator(profile, seededRandom(1)), SAMPLED_STEPS);
  const timeMs = (work: () => unknown): number => {
    const startedMs = performance.now();
    work();
    return Math.round(performance.now() - startedMs);
  };
  const inForce = place(trace, QUICK_EFFORT);
  const options = { placement: inForce, trace, expertBytes: 1, seed: 1 };
  return {
    timedLayers: layers,
    placementMs: timeMs(() => place(trace, QUICK_EFFORT)),
    greedyMs: timeMs(() => place(trace, { ...QUICK_EFFORT, trials: 0 })),
    thoroughMs: timeMs(() => place(trace, THOROUGH_EFFORT)),
    boundedMs: timeMs(() => rePlace({ ...options, maxMoveBytes: BOUNDED_MOVES_PER_LAYER * layers })),
    eplbMs: timeMs(() => eplb(trace, 1, 1)),
  };
}
