/* What stands between the matrices: residual additions, RMS norms, rotary position embedding. */
import { multiplyAdd, sumLanes } from './simd';

/**
 * `sum = source + addend; output = sum / √(mean(sum²) + epsilon) · weights`, for each row `[H]` of `[rows, H]`.
 * @param addend `[rows, H]`, or 0: nothing is added
 * @param size H, a multiple of 4
 * @param sumOutput `[rows, H]` for the sum, may be `source`; or 0, unless there is an addend
 */
export function rmsNorm(
  source: usize,
  addend: usize,
  weights: usize,
  rows: u32,
  size: u32,
  epsilon: f32,
  output: usize,
  sumOutput: usize,
): void {
  const bytes: u32 = 4 * size;
  for (let row: u32 = 0; row < rows; row++) {
    let normed = source;
    if (addend != 0) {
      addRow(source, addend, size, sumOutput);
      normed = sumOutput;
      addend += bytes;
    } else if (sumOutput != 0) {
      memory.copy(sumOutput, source, bytes);
    }
    const factor = f32x4.splat(normFactor(normed, size, epsilon));
    for (let at: u32 = 0; at < bytes; at += 16) {
      const scaled = f32x4.mul(v128.load(normed + at), factor);
      v128.store(output + at, f32x4.mul(scaled, v128.load(weights + at)));
    }
    source += bytes;
    output += bytes;
    if (sumOutput != 0) sumOutput += bytes;
  }
}

/** 1 / √(mean(x²) + epsilon) */
function normFactor(x: usize, size: u32, epsilon: f32): f32 {
  let squares = f32x4.splat(0);
  const end = x + 4 * size;
  for (; x < end; x += 16) {
    const vector = v128.load(x);
    squares = multiplyAdd(vector, vector, squares);
  }
  const sum = f32x4.extract_lane(sumLanes(squares, squares, squares, squares), 0);
  return <f32>1 / sqrt<f32>(sum / <f32>size + epsilon);
}

/**
 * Rotary position embedding in its half-split form, in place: of each head `[D]`, float i and float i + D/2 turn by angle
 * i of the row's position. Before that, where `weights` is not 0, each head goes through an RMS norm.
 * @param vectors rows of `heads · D` floats
 * @param stride floats from one row to the next
 * @param headSize D, a multiple of 8
 * @param cosines `[rows, D / 2]`
 * @param sines `[rows, D / 2]`
 * @param weights `[D]`, or 0
 */
export function rotate(
  vectors: usize,
  stride: u32,
  rows: u32,
  heads: u32,
  headSize: u32,
  cosines: usize,
  sines: usize,
  weights: usize,
  epsilon: f32,
): void {
  const half: u32 = 2 * headSize;
  for (let row: u32 = 0; row < rows; row++) {
    let head = vectors;
    for (let index: u32 = 0; index < heads; index++) {
      if (weights != 0) normHead(head, headSize, weights, epsilon);
      for (let at: u32 = 0; at < half; at += 16) {
        const cosine = v128.load(cosines + at);
        const sine = v128.load(sines + at);
        const a = v128.load(head + at);
        const b = v128.load(head + half + at);
        v128.store(head + at, f32x4.sub(f32x4.mul(a, cosine), f32x4.mul(b, sine)));
        v128.store(head + half + at, f32x4.add(f32x4.mul(b, cosine), f32x4.mul(a, sine)));
      }
      head += 2 * half;
    }
    vectors += 4 * stride;
    cosines += half;
    sines += half;
  }
}

function normHead(head: usize, headSize: u32, weights: usize, epsilon: f32): void {
  const factor = f32x4.splat(normFactor(head, headSize, epsilon));
  for (let at: u32 = 0; at < 4 * headSize; at += 16) {
    const scaled = f32x4.mul(v128.load(head + at), factor);
    v128.store(head + at, f32x4.mul(scaled, v128.load(weights + at)));
  }
}

/** `output[i] = a[i] + b[i]` for `size` floats, a multiple of 4. */
function addRow(a: usize, b: usize, size: u32, output: usize): void {
  const bytes: u32 = 4 * size;
  for (let at: u32 = 0; at < bytes; at += 16) {
    v128.store(output + at, f32x4.add(v128.load(a + at), v128.load(b + at)));
  }
}
