import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { firstPosition } from '../../shared/scheduler/row-group-views.ts';
import type { Lane } from './lane.ts';

/**
 * The same sum by a kernel, where all lies in kernel memory: over the pairs whose position is in `[from, to)`. Returns false, and
 * does nothing, where it cannot.
 */
export type KernelSum = (lane: Lane, from: number, to: number, output: Float32Array) => boolean;

/**
 * Sums expert outputs to the MoE layer's output. The sum runs in the gate's order, never in the order in which instances
 * answered or are numbered, in double precision, and is rounded once: so the result is bit-identical for any number of
 * instances in the host.
 *
 * Outputs are added four at a time, which reads and writes the running sum a quarter as often; the order of the additions
 * is the same.
 */
export class Combiner {
  /** `[H]` */
  readonly #sum: Float64Array;
  /** `[k]`: where the outputs that a row takes start in the lane's `outputs`, and their gate weights. */
  readonly #starts: Int32Array;
  readonly #weights: Float64Array;
  readonly #kernelSum: KernelSum | undefined;

  constructor(shape: LayerStepShape, kernelSum?: KernelSum) {
    this.#kernelSum = kernelSum;
    this.#sum = new Float64Array(shape.hiddenSize);
    this.#starts = new Int32Array(shape.expertsPerToken);
    this.#weights = new Float64Array(shape.expertsPerToken);
  }

  /**
   * Leaves in `output` `[T, H]`, for each row of the lane, the sum of gate weight × expert output over the experts that
   * the lane's groups give to instances `[firstInstance, firstInstance + instances)`.
   */
  combine(lane: Lane, firstInstance: number, instances: number, output: Float32Array): void {
    const { hiddenSize, expertsPerToken } = lane.shape;
    const { gateWeights, rows } = lane;
    const { positionOf } = lane.groups;
    const from = firstPosition(lane.groups, firstInstance);
    const to = firstPosition(lane.groups, firstInstance + instances);
    if (this.#kernelSum?.(lane, from, to, output)) return;
    for (let row = 0; row < rows; row++) {
      let taken = 0;
      const end = (row + 1) * expertsPerToken;
      for (let pair = row * expertsPerToken; pair < end; pair++) {
        const position = positionOf[pair]!;
        if (position < from || position >= to) continue;
        this.#starts[taken] = position * hiddenSize;
        this.#weights[taken++] = gateWeights[pair]!;
      }
      this.#sumRow(lane.outputs, taken);
      writeRow(this.#sum, output, row * hiddenSize);
    }
  }

  #sumRow(outputs: Float32Array, taken: number): void {
    const at = this.#starts;
    const weight = this.#weights;
    this.#sum.fill(0);
    let i = 0;
    for (; i + 4 <= taken; i += 4) {
      addFour(
        this.#sum,
        outputs,
        at[i]!,
        at[i + 1]!,
        at[i + 2]!,
        at[i + 3]!,
        weight[i]!,
        weight[i + 1]!,
        weight[i + 2]!,
        weight[i + 3]!,
      );
    }
    for (; i < taken; i++) addOne(this.#sum, outputs, at[i]!, weight[i]!);
  }
}

function addOne(sum: Float64Array, outputs: Float32Array, start: number, weight: number): void {
  const length = sum.length;
  for (let i = 0; i < length; i++) sum[i]! += weight * outputs[start + i]!;
}

/** Takes numbers rather than the arrays that hold them, so that the loop keeps them in registers. */
function addFour(
  sum: Float64Array,
  outputs: Float32Array,
  startA: number,
  startB: number,
  startC: number,
  startD: number,
  weightA: number,
  weightB: number,
  weightC: number,
  weightD: number,
): void {
  const length = sum.length;
  for (let i = 0; i < length; i++) {
    sum[i] =
      sum[i]! +
      weightA * outputs[startA + i]! +
      weightB * outputs[startB + i]! +
      weightC * outputs[startC + i]! +
      weightD * outputs[startD + i]!;
  }
}

function writeRow(sum: Float64Array, output: Float32Array, start: number): void {
  const length = sum.length;
  for (let i = 0; i < length; i++) output[start + i] = sum[i]!;
}

/** Adds `share` `[T, H]` of one more host to `output`. Shares are added in host order, so the sum is reproducible. */
export function addShare(
  output: Float32Array,
  share: Float32Array,
  rows: number,
  shape: LayerStepShape,
): void {
  const length = rows * shape.hiddenSize;
  for (let i = 0; i < length; i++) output[i]! += share[i]!;
}
