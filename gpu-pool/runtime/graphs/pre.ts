import type { LinearWeights, MatrixFormat } from '../matrix.ts';
import type { ValueName } from '../onnx/model-builder.ts';
import { ModelBuilder, OMITTED } from '../onnx/model-builder.ts';
import { linear } from './linear.ts';
import { addThenRmsNorm, type NormWeights, rmsNorm } from './norm.ts';

export interface PreGraphWeights {
  readonly norm: NormWeights;
  readonly query: LinearWeights;
  readonly key: LinearWeights;
  readonly value: LinearWeights;
  /** Norms of each head of q and k before the rotation, where the architecture has them. */
  readonly queryNorm?: NormWeights;
  readonly keyNorm?: NormWeights;
}

export interface PreGraphShape {
  readonly hiddenSize: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  /** D */
  readonly headSize: number;
  /** True where the previous layer's `moeOutput` still has to be added to the residual stream. */
  readonly addsMoeOutput: boolean;
}

/**
 * A layer up to its attention: norm, projections of q, k and v, rotation (RoPE in its half-split form).
 *
 * Inputs `residual` `[1, T, H]`, `cos` and `sin` `[1, T, D/2]` of each row's position and, where `addsMoeOutput`,
 * `moeOutput` `[1, T, H]`. Outputs `queries` `[1, T, heads·D]`, `keys` and `values` `[1, T, kvHeads·D]` and, where
 * `addsMoeOutput`, `nextResidual` `[1, T, H]`.
 */
export function preGraph(
  name: string,
  shape: PreGraphShape,
  weights: PreGraphWeights,
  format: MatrixFormat,
): Uint8Array {
  const { hiddenSize, attentionHeads, keyValueHeads, headSize } = shape;
  const builder = new ModelBuilder(name);
  const residual = builder.input('residual', 'float32', [1, 'T', hiddenSize]);
  const cos = builder.input('cos', 'float32', [1, 'T', headSize / 2]);
  const sin = builder.input('sin', 'float32', [1, 'T', headSize / 2]);
  const normed: ValueName = 'normed';
  if (shape.addsMoeOutput) {
    const moeOutput = builder.input('moeOutput', 'float32', [1, 'T', hiddenSize]);
    addThenRmsNorm(builder, residual, moeOutput, weights.norm, { normed, sum: 'nextResidual' });
    builder.output('nextResidual', 'float32', [1, 'T', hiddenSize]);
  } else {
    rmsNorm(builder, residual, weights.norm, normed);
  }

  const rotate = (projected: ValueName, heads: number, norm: NormWeights | undefined, output: ValueName) => {
    const ready = norm === undefined ? projected : normEachHead(builder, projected, heads, headSize, norm);
    builder.node('RotaryEmbedding', [ready, cos, sin, OMITTED], { num_heads: heads }, '', output);
  };
  rotate(linear(builder, normed, weights.query, format), attentionHeads, weights.queryNorm, 'queries');
  rotate(linear(builder, normed, weights.key, format), keyValueHeads, weights.keyNorm, 'keys');
  linear(builder, normed, weights.value, format, 'values');

  builder.output('queries', 'float32', [1, 'T', attentionHeads * headSize]);
  builder.output('keys', 'float32', [1, 'T', keyValueHeads * headSize]);
  builder.output('values', 'float32', [1, 'T', keyValueHeads * headSize]);
  return builder.build();
}

function normEachHead(
  builder: ModelBuilder,
  rows: ValueName,
  heads: number,
  headSize: number,
  norm: NormWeights,
): ValueName {
  // In the shape of a Reshape, 0 keeps the input's dimension.
  const split = builder.node('Reshape', [rows, builder.integers([0, 0, heads, headSize])]);
  const normed = rmsNorm(builder, split, norm);
  return builder.node('Reshape', [normed, builder.integers([0, 0, heads * headSize])]);
}
