import { type BlockFormat, type BlockQuantized, quantizeBlocks } from '../../runtime/quantize.ts';
import { randomNumbers } from '../../runtime/testing/tiny-model.ts';
import { storedBytes, storeMatrix } from '../stored-matrix.ts';
import { TILE_ROWS } from '../tile8.ts';
import type { KernelBed } from './kernel-bed.ts';

/** A random matrix `[n, k]`. */
export function quantisedMatrix(n: number, k: number, format: BlockFormat, seed: number): BlockQuantized {
  return quantizeBlocks(randomNumbers(n * k, seed), n, k, format);
}

/** Packs `matrix` into the bed's memory; returns where it lies. */
export function putMatrix(bed: KernelBed, matrix: BlockQuantized): number {
  const packed = new Uint8Array(storedBytes(matrix.outputSize, matrix.inputSize, matrix.format));
  storeMatrix(matrix, packed);
  return bed.put(packed);
}

export function tilesOf({ outputSize }: BlockQuantized): number {
  return Math.ceil(outputSize / TILE_ROWS);
}

/** What int8 rounding leaves of activations `[rows, k]`: per row, multiples of a 127th of the largest magnitude. */
export function roundActivations(activations: Float32Array, k: number): Float32Array {
  const rounded = new Float32Array(activations.length);
  for (let row = 0; row < activations.length; row += k) {
    const scale = Math.fround(Math.max(...activations.subarray(row, row + k).map(Math.abs)) / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    for (let index = row; index < row + k; index += 1) {
      rounded[index] = roundToEven(Math.fround(activations[index]! * inverse)) * scale;
    }
  }
  return rounded;
}

function roundToEven(value: number): number {
  const nearest = Math.round(value);
  return Math.abs(value % 1) === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/** `[rows, n]` = activations `[rows, k]` · weightsᵀ `[n, k]`, summed in f64. */
export function product(activations: Float32Array, weights: Float32Array, k: number): Float64Array {
  const rows = activations.length / k;
  const n = weights.length / k;
  const result = new Float64Array(rows * n);
  for (let row = 0; row < rows; row += 1) {
    for (let output = 0; output < n; output += 1) {
      let sum = 0;
      for (let index = 0; index < k; index += 1) {
        sum += activations[row * k + index]! * weights[output * k + index]!;
      }
      result[row * n + output] = sum;
    }
  }
  return result;
}

/** Largest difference in proportion to the typical (root mean square) expected value. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let squares = 0;
  let largest = 0;
  for (let index = 0; index < expected.length; index += 1) {
    const difference = Math.abs(actual[index]! - expected[index]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    squares += expected[index]! ** 2;
  }
  return largest === 0 ? 0 : largest / Math.sqrt(squares / expected.length);
}
