import type { LinearWeights, MatrixFormat } from '../matrix.ts';
import type { ModelBuilder, ValueName } from '../onnx/model-builder.ts';
import { OMITTED } from '../onnx/model-builder.ts';
import { blockScales, quantizeBlocks } from '../quantize.ts';

/** input `[…, inputSize]` · weightsᵀ → `[…, outputSize]`, with the weights kept in `format`. */
export function linear(
  builder: ModelBuilder,
  input: ValueName,
  { outputSize, inputSize, weights, quantized: stored }: LinearWeights,
  format: MatrixFormat,
  output?: ValueName,
): ValueName {
  if (format.form === 'f32') {
    const matrix = builder.constant('float32', [outputSize, inputSize], weights);
    return builder.node('FusedMatMul', [input, matrix], { transB: 1 }, 'com.microsoft', output);
  }
  const { bits, blockSize, accuracyLevel } = format;
  const quantized = stored ?? quantizeBlocks(weights, outputSize, inputSize, format);
  const blocks = Math.ceil(inputSize / blockSize);
  const codes = builder.constant('uint8', [outputSize, blocks, (blockSize * bits) / 8], quantized.codes);
  const scales = builder.constant('float32', [outputSize, blocks], blockScales(quantized));
  const zeroPoints =
    quantized.zeroPoints === undefined
      ? OMITTED
      : builder.constant('uint8', [outputSize, Math.ceil((blocks * bits) / 8)], quantized.zeroPoints);
  return builder.node(
    'MatMulNBits',
    [input, codes, scales, zeroPoints],
    { N: outputSize, K: inputSize, bits, block_size: blockSize, accuracy_level: accuracyLevel },
    'com.microsoft',
    output,
  );
}
