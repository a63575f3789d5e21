import { JanusError } from '../../shared/errors/janus-error.ts';
import { elementCount } from '../../shared/model/safetensors.ts';
import { readMatrix, storeMatrix } from '../kernels/stored-matrix.ts';
import { type BlockQuantized, blockFormatOf, dequantizeBlocks, quantizeBlocks } from '../runtime/quantize.ts';
import { type PartFormat, rowsAndColumns } from './part-format.ts';

/** From this magnitude on, f16 rounds to infinity. */
const FLOAT16_OVERFLOW = 65_520;

/**
 * Writes rows of a tensor in the form in which a packed file holds them.
 *
 * @param weights `[rows, columns]`
 * @param target zeros, of at least `rowBytes(rows, columns, format)` bytes, aligned to 4
 * @param name of the tensor, in errors
 * @throws JanusError that names the tensor if a weight is not finite, or too large for f16
 */
export function encodeRows(
  weights: Float32Array,
  rows: number,
  columns: number,
  format: PartFormat,
  target: Uint8Array,
  name: string,
): void {
  const largest = largestMagnitude(weights);
  if (!Number.isFinite(largest)) {
    throw new JanusError(`tensor ${name} holds a weight that is not finite: the checkpoint is damaged`);
  }
  const { buffer, byteOffset } = target;
  switch (format.form) {
    case 'blocks':
      storeMatrix(quantizeBlocks(weights, rows, columns, format), target);
      return;
    case 'f32':
      new Float32Array(buffer, byteOffset, weights.length).set(weights);
      return;
    case 'f16':
      if (largest >= FLOAT16_OVERFLOW) {
        throw new JanusError(`tensor ${name} holds ${largest}, which f16 cannot: choose dtype f32 or int8`);
      }
      new Float16Array(buffer, byteOffset, weights.length).set(weights);
      return;
    case 'bf16': {
      // Chosen only where the checkpoint holds bf16, so the lower half of every word is zero.
      const halves = new Uint16Array(buffer, byteOffset, weights.length);
      const words = new Uint32Array(weights.buffer, weights.byteOffset, weights.length);
      for (let index = 0; index < halves.length; index += 1) halves[index] = words[index]! >>> 16;
    }
  }
}

/**
 * A part's numbers, row by row, as f32. Those stored as f32 are a view of `bytes`.
 *
 * @param bytes of the whole part, aligned to 4
 */
export function decodePart(bytes: Uint8Array, shape: readonly number[], format: PartFormat): Float32Array {
  const count = elementCount(shape);
  const { buffer, byteOffset } = bytes;
  switch (format.form) {
    case 'blocks':
      return dequantizeBlocks(decodeBlocks(bytes, shape, format));
    case 'f32':
      return new Float32Array(buffer, byteOffset, count);
    case 'f16':
      return Float32Array.from(new Float16Array(buffer, byteOffset, count));
    case 'bf16': {
      const words = Uint32Array.from(new Uint16Array(buffer, byteOffset, count), (half) => half << 16);
      return new Float32Array(words.buffer);
    }
  }
}

/** A quantised part in the canonical form, codes and scales as they were stored. */
export function decodeBlocks(
  bytes: Uint8Array,
  shape: readonly number[],
  format: PartFormat & { readonly form: 'blocks' },
): BlockQuantized {
  const { rows, columns } = rowsAndColumns(shape);
  return readMatrix(bytes, rows, columns, blockFormatOf(format));
}

/** NaN if any number is. */
function largestMagnitude(numbers: Float32Array): number {
  let largest = 0;
  for (let index = 0; index < numbers.length; index += 1) {
    largest = Math.max(largest, Math.abs(numbers[index]!));
  }
  return largest;
}
