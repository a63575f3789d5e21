/* f32 matrices: the router's, which is never quantised. */
import { multiplyAdd, sumLanes } from '../simd';

/**
 * `output[m, n] = Σ_k weights[n, k] · source[m, k]` for the outputs n in `[outputBegin, outputEnd)`. Each of four partial
 * sums takes every fourth input, in order: a result does not depend on the rows and outputs beside it.
 * @param source `[rows, K]`
 * @param inputSize K, a multiple of 4
 * @param weights `[N, K]`
 * @param outputStride floats from one row of `output` to the next
 */
export function linearFloat(
  source: usize,
  rows: u32,
  inputSize: u32,
  weights: usize,
  outputBegin: u32,
  outputEnd: u32,
  output: usize,
  outputStride: u32,
): void {
  const bytes: u32 = 4 * inputSize;
  for (let column = outputBegin; column < outputEnd; ) {
    const at = weights + column * bytes;
    const target = output + 4 * column;
    if (outputEnd - column >= 4) {
      let row: u32 = 0;
      for (; row + 2 <= rows; row += 2) {
        fourOutputsTwoRows(source + row * bytes, at, bytes, target + 4 * row * outputStride, 4 * outputStride);
      }
      if (row < rows) fourOutputsOneRow(source + row * bytes, at, bytes, target + 4 * row * outputStride);
      column += 4;
    } else {
      for (let row: u32 = 0; row < rows; row++) {
        oneOutput(source + row * bytes, at, bytes, target + 4 * row * outputStride);
      }
      column += 1;
    }
  }
}

function fourOutputsTwoRows(source: usize, weights: usize, bytes: u32, output: usize, stride: u32): void {
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let b3 = f32x4.splat(0);
  const end = source + bytes;
  for (; source < end; source += 16) {
    const rowA = v128.load(source);
    const rowB = v128.load(source + bytes);
    const weight0 = v128.load(weights);
    a0 = multiplyAdd(rowA, weight0, a0);
    b0 = multiplyAdd(rowB, weight0, b0);
    const weight1 = v128.load(weights + bytes);
    a1 = multiplyAdd(rowA, weight1, a1);
    b1 = multiplyAdd(rowB, weight1, b1);
    const weight2 = v128.load(weights + 2 * bytes);
    a2 = multiplyAdd(rowA, weight2, a2);
    b2 = multiplyAdd(rowB, weight2, b2);
    const weight3 = v128.load(weights + 3 * bytes);
    a3 = multiplyAdd(rowA, weight3, a3);
    b3 = multiplyAdd(rowB, weight3, b3);
    weights += 16;
  }
  v128.store(output, sumLanes(a0, a1, a2, a3));
  v128.store(output + stride, sumLanes(b0, b1, b2, b3));
}

function fourOutputsOneRow(source: usize, weights: usize, bytes: u32, output: usize): void {
  let sum0 = f32x4.splat(0);
  let sum1 = f32x4.splat(0);
  let sum2 = f32x4.splat(0);
  let sum3 = f32x4.splat(0);
  const end = source + bytes;
  for (; source < end; source += 16) {
    const row = v128.load(source);
    sum0 = multiplyAdd(row, v128.load(weights), sum0);
    sum1 = multiplyAdd(row, v128.load(weights + bytes), sum1);
    sum2 = multiplyAdd(row, v128.load(weights + 2 * bytes), sum2);
    sum3 = multiplyAdd(row, v128.load(weights + 3 * bytes), sum3);
    weights += 16;
  }
  v128.store(output, sumLanes(sum0, sum1, sum2, sum3));
}

function oneOutput(source: usize, weights: usize, bytes: u32, output: usize): void {
  let sum = f32x4.splat(0);
  const end = source + bytes;
  for (; source < end; source += 16) {
    sum = multiplyAdd(v128.load(source), v128.load(weights), sum);
    weights += 16;
  }
  store<f32>(output, f32x4.extract_lane(sumLanes(sum, sum, sum, sum), 0));
}
