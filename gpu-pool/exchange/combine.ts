import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Lane } from './lane.ts';

/**
 * Sums the expert outputs of a lane into `output` `[T, H]`: per row, in the gate's order, gate weight × expert output over
 * the experts that `instanceOf` gives to instances `[firstInstance, firstInstance + instances)`.
 *
 * The order of the sum is the gate's, never the order in which instances answered or were numbered: so the result is
 * bit-identical for any number of instances in the host.
 */
export function combine(
  lane: Lane,
  instanceOf: Int32Array,
  firstInstance: number,
  instances: number,
  output: Float32Array,
): void {
  const { hiddenSize, expertsPerToken } = lane.shape;
  const { outputs, expertIds, gateWeights, rows } = lane;
  const { positionOf } = lane.groups;
  for (let row = 0; row < rows; row++) {
    const target = row * hiddenSize;
    output.fill(0, target, target + hiddenSize);
    for (let choice = 0; choice < expertsPerToken; choice++) {
      const pair = row * expertsPerToken + choice;
      const instance = instanceOf[expertIds[pair]!]! - firstInstance;
      if (instance < 0 || instance >= instances) continue;
      addScaled(outputs, positionOf[pair]! * hiddenSize, gateWeights[pair]!, output, target, hiddenSize);
    }
  }
}

function addScaled(
  source: Float32Array,
  sourceOffset: number,
  weight: number,
  target: Float32Array,
  targetOffset: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) {
    target[targetOffset + i]! += weight * source[sourceOffset + i]!;
  }
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
