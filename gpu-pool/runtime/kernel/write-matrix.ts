import type { TensorSpec } from '../../../shared/model/tensor-specs.ts';
import { storedBytes, storeMatrix } from '../../kernels/stored-matrix.ts';
import type { BlockMatrixFormat } from '../matrix.ts';
import { quantizeBlocks } from '../quantize.ts';
import { type ModelWeights, readLinear } from '../weights.ts';

/**
 * Writes a matrix as the kernels read it: as it is stored where the model is packed, else rounded now.
 *
 * @param target exactly its bytes, or more
 * @throws JanusError if the tensor is missing or has another shape
 */
export function writeMatrix(
  weights: ModelWeights,
  spec: TensorSpec,
  format: BlockMatrixFormat,
  target: Uint8Array,
): void {
  if (weights.readStored?.(spec.name, spec.shape, target)) return;
  const { outputSize, inputSize, weights: values } = readLinear(weights, spec);
  // Another instance of the host may write the same expert to the same place: only whole bytes of the result may be seen there.
  const packed = new Uint8Array(storedBytes(outputSize, inputSize, format));
  storeMatrix(quantizeBlocks(values, outputSize, inputSize, format), packed);
  target.set(packed);
}
