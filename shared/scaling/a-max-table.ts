import { JanusError } from '../errors/janus-error.ts';
import { estimateActivation } from '../placement/expected-a-max.ts';
import { ActivationTrace } from '../placement/trace.ts';
import { type PlacementEffort, placeByTrace } from '../placement/traced-placement.ts';

/** a_max by number of expert instances and batch size. JSON-serialisable. */
export interface AMaxTable {
  /** E, logical experts per layer; absent in tables of versions that did not tell. */
  readonly experts?: number;
  /** Batch sizes of the columns, ascending, from 1 on. */
  readonly batches: readonly number[];
  /** n_e of the rows, ascending. */
  readonly instances: readonly number[];
  /** [instances][batches]: mean a_max of a layer step. */
  readonly values: readonly (readonly number[])[];
}

/** How much computing a table may cost. */
export interface TableEffort {
  readonly placement: PlacementEffort;
  /** Layers that are placed and drawn from, spread over all of them. */
  readonly layers: number;
  /** Batches drawn per layer and batch size. */
  readonly draws: number;
}

/** About a second for n_e up to 64 at 160 experts; a_max differs from a hundred times the draws by less than 1%. */
export const TABLE_EFFORT: TableEffort = {
  placement: {
    samples: [
      { tokens: 1, batches: 64 },
      { tokens: 16, batches: 32 },
      { tokens: 128, batches: 16 },
    ],
    trials: 0,
  },
  layers: 2,
  draws: 24,
};

export interface TableOptions {
  readonly trace: ActivationTrace;
  /** C, replica slots per instance and layer. */
  readonly capacity: number;
  /** Largest n_e. */
  readonly mostInstances: number;
  /** Largest batch. */
  readonly mostBatch: number;
  readonly seed: number;
  readonly effort?: TableEffort;
}

/**
 * Makes the a_max table by Monte Carlo: for each n_e the experts are placed by the trace, and batches drawn from it are
 * scheduled. It is to be made anew when the trace or the scheduler changes.
 *
 * Source: Janus (arXiv 2512.13525), a_max estimation. The same seed gives the same table.
 *
 * @throws JanusError when no n_e up to `mostInstances` holds all experts
 */
export function aMaxTable(options: TableOptions): AMaxTable {
  const { trace, capacity, mostInstances, mostBatch, seed, effort = TABLE_EFFORT } = options;
  const { experts } = trace.shape;
  const least = Math.ceil(experts / capacity);
  if (least > mostInstances) {
    throw new JanusError(
      `a_max table: ${experts} experts need ${least} instances of ${capacity} slots, but at most ${mostInstances} are allowed`,
    );
  }
  const sampled = spreadLayers(trace, effort.layers);
  const batches = batchSizes(mostBatch);
  const instances: number[] = [];
  const values: number[][] = [];
  for (let count = least; count <= Math.min(mostInstances, experts); count += 1) {
    const placed = Array.from({ length: count }, (_, id) => ({ id, host: String(id) }));
    const slots = Math.min(capacity, experts);
    const { layers } = placeByTrace({
      version: 1,
      model: '',
      trace: sampled,
      capacity: slots,
      instances: placed,
      seed,
      effort: effort.placement,
    });
    instances.push(count);
    values.push(
      batches.map((tokens) => estimateActivation(layers, sampled, tokens, effort.draws, seed).meanAMax),
    );
  }
  return { experts, batches, instances, values };
}

/** a_max of a batch of any size, between those of the table along the logarithm of the batch. */
export function lookUpAMax(table: AMaxTable, instances: number, batch: number): number {
  const { batches, values } = table;
  // From n_e = E on, an instance more holds nothing that lowers a_max.
  const row = values[Math.min(instances, table.instances.at(-1)!) - table.instances[0]!];
  if (row === undefined) {
    throw new JanusError(
      `a_max table: has no ${instances} expert instances, but from ${table.instances[0]} on`,
    );
  }
  const above = batches.findIndex((size) => size >= batch);
  if (above < 0) return row.at(-1)!;
  if (above === 0) return row[0]!;
  const [low, high] = [batches[above - 1]!, batches[above]!];
  const share = Math.log(batch / low) / Math.log(high / low);
  return row[above - 1]! + share * (row[above]! - row[above - 1]!);
}

/** 1, 2, 4 … up to the first one that is no smaller than `most`. */
function batchSizes(most: number): number[] {
  const sizes = [1];
  while (sizes.at(-1)! < most) sizes.push(2 * sizes.at(-1)!);
  return sizes;
}

/** A trace of `count` of the layers, evenly spread, or of all where there are fewer. */
function spreadLayers(trace: ActivationTrace, count: number): ActivationTrace {
  const { layers, expertsPerToken } = trace.shape;
  if (count >= layers) return trace;
  const picked = new ActivationTrace({ ...trace.shape, layers: count }, trace.windowRows);
  for (let index = 0; index < count; index += 1) {
    const window = trace.window(Math.floor(((index + 0.5) * layers) / count));
    picked.record(index, window, window.length / expertsPerToken);
  }
  return picked;
}
