import type { LinearWeights, MatrixFormat } from '../matrix.ts';
import { ModelBuilder } from '../onnx/model-builder.ts';
import { linear } from './linear.ts';
import { addThenRmsNorm, type NormWeights } from './norm.ts';

/**
 * The end of the model, for the rows that need a next token only: `residual` and `moeOutput` `[T, H]`, `rowIndices`
 * int32 `[R]` → `logits` `[R, V]`.
 */
export function headGraph(
  name: string,
  norm: NormWeights,
  vocabulary: LinearWeights,
  format: MatrixFormat,
): Uint8Array {
  const builder = new ModelBuilder(name);
  const residual = builder.input('residual', 'float32', ['T', vocabulary.inputSize]);
  const moeOutput = builder.input('moeOutput', 'float32', ['T', vocabulary.inputSize]);
  const rowIndices = builder.input('rowIndices', 'int32', ['R']);
  const residualRows = builder.node('Gather', [residual, rowIndices], { axis: 0 });
  const moeRows = builder.node('Gather', [moeOutput, rowIndices], { axis: 0 });
  addThenRmsNorm(builder, residualRows, moeRows, norm, { normed: 'normed', sum: '' });
  linear(builder, 'normed', vocabulary, format, 'logits');
  builder.output('logits', 'float32', ['R', vocabulary.outputSize]);
  return builder.build();
}
