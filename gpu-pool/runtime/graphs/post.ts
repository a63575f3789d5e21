import { ModelBuilder } from '../onnx/model-builder.ts';
import type { MatrixFormat } from '../weights.ts';
import { type LinearWeights, linear } from './linear.ts';
import { addThenRmsNorm, type NormWeights } from './norm.ts';

export interface PostGraphWeights {
  /** Projection of the attended heads back to the residual stream. */
  readonly output: LinearWeights;
  readonly norm: NormWeights;
  /** The router: one row per expert. */
  readonly gate: LinearWeights;
}

export interface PostGraphRouting {
  /** k */
  readonly expertsPerToken: number;
  readonly normalizeGateWeights: boolean;
}

/**
 * A layer from its attention to its experts: output projection, residual, norm, router.
 *
 * Inputs `attended` `[T, heads·D]`, `residual` `[T, H]`. Outputs `nextResidual` and `hidden` (its norm, the experts'
 * input) `[T, H]`, and the routing: `expertIds` int32 and `gateWeights` `[T, k]`, best expert first, equals by id. The
 * softmax runs over all experts, before the best k are picked.
 */
export function postGraph(
  name: string,
  weights: PostGraphWeights,
  routing: PostGraphRouting,
  format: MatrixFormat,
): Uint8Array {
  const hiddenSize = weights.output.outputSize;
  const { expertsPerToken, normalizeGateWeights } = routing;
  const builder = new ModelBuilder(name);
  const attended = builder.input('attended', 'float32', ['T', weights.output.inputSize]);
  const residual = builder.input('residual', 'float32', ['T', hiddenSize]);
  const projected = linear(builder, attended, weights.output, format);
  addThenRmsNorm(builder, residual, projected, weights.norm, { normed: 'hidden', sum: 'nextResidual' });

  // The gate stays f32: a rounded score can send a token to another expert altogether.
  const scores = linear(builder, 'hidden', weights.gate, { form: 'f32' });
  const probabilities = builder.node('Softmax', [scores], { axis: -1 });
  const best = normalizeGateWeights ? 'bestProbabilities' : 'gateWeights';
  builder.nodeWithOutputs(
    'TopK',
    [probabilities, builder.integers([expertsPerToken])],
    [best, 'bestExperts'],
    { axis: -1, largest: 1, sorted: 1 },
  );
  builder.node('Cast', ['bestExperts'], { to: INT32 }, '', 'expertIds');
  if (normalizeGateWeights) {
    const sum = builder.node('ReduceSum', [best, builder.integers([-1])], { keepdims: 1 });
    builder.node('Div', [best, sum], {}, '', 'gateWeights');
  }

  builder.output('nextResidual', 'float32', ['T', hiddenSize]);
  builder.output('hidden', 'float32', ['T', hiddenSize]);
  builder.output('expertIds', 'int32', ['T', expertsPerToken]);
  builder.output('gateWeights', 'float32', ['T', expertsPerToken]);
  return builder.build();
}

/** `TensorProto.INT32` */
const INT32 = 6;
