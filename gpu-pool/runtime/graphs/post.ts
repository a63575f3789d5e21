import type { LinearWeights, MatrixFormat } from '../matrix.ts';
import { ModelBuilder } from '../onnx/model-builder.ts';
import { linear } from './linear.ts';
import { addThenRmsNorm, type NormWeights } from './norm.ts';
import { type Routing, router } from './router.ts';

export interface PostGraphWeights {
  /** Projection of the attended heads back to the residual stream. */
  readonly output: LinearWeights;
  readonly norm: NormWeights;
  /** The router: one row per expert; absent where the expert hosts gate. */
  readonly gate?: LinearWeights;
}

/**
 * A layer from its attention to its experts: output projection, residual, norm, router.
 *
 * Inputs `attended` `[T, heads·D]`, `residual` `[T, H]`. Outputs `nextResidual` and `hidden` (its norm, the experts'
 * input) `[T, H]`, and with a gate the routing: see `router`.
 */
export function postGraph(
  name: string,
  weights: PostGraphWeights,
  routing: Routing,
  format: MatrixFormat,
): Uint8Array {
  const hiddenSize = weights.output.outputSize;
  const builder = new ModelBuilder(name);
  const attended = builder.input('attended', 'float32', ['T', weights.output.inputSize]);
  const residual = builder.input('residual', 'float32', ['T', hiddenSize]);
  const projected = linear(builder, attended, weights.output, format);
  addThenRmsNorm(builder, residual, projected, weights.norm, { normed: 'hidden', sum: 'nextResidual' });

  if (weights.gate !== undefined) router(builder, 'hidden', weights.gate, routing);

  builder.output('nextResidual', 'float32', ['T', hiddenSize]);
  builder.output('hidden', 'float32', ['T', hiddenSize]);
  return builder.build();
}
