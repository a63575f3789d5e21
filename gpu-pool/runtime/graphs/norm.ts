import type { ModelBuilder, ValueName } from '../onnx/model-builder.ts';
import { OMITTED } from '../onnx/model-builder.ts';

export interface NormWeights {
  /** Scale of each element of the last dimension. */
  readonly weights: Float32Array;
  readonly epsilon: number;
}

/** RMSNorm over the last dimension, in f32: x / √(mean(x²) + ε) · weights. */
export function rmsNorm(
  builder: ModelBuilder,
  input: ValueName,
  { weights, epsilon }: NormWeights,
  output?: ValueName,
): ValueName {
  const scale = builder.constant('float32', [weights.length], weights);
  return builder.node(
    'RMSNormalization',
    [input, scale],
    { axis: -1, epsilon: { float: epsilon } },
    '',
    output,
  );
}

/** sum = input + skip, and its RMSNorm, in one pass over the rows. */
export function addThenRmsNorm(
  builder: ModelBuilder,
  input: ValueName,
  skip: ValueName,
  { weights, epsilon }: NormWeights,
  outputs: { readonly normed: ValueName; readonly sum: ValueName },
): void {
  const scale = builder.constant('float32', [weights.length], weights);
  builder.nodeWithOutputs(
    'SkipSimplifiedLayerNormalization',
    [input, skip, scale],
    // The operator's second and third outputs (mean and inverse deviation) are for training only.
    [outputs.normed, OMITTED, OMITTED, outputs.sum],
    { epsilon: { float: epsilon } },
    'com.microsoft',
  );
}
