import { exponential } from './simd';

/** Logits whose weights are summed together. */
const BLOCK_BYTES: u32 = 512;
/** e to anything smaller counts as 0: `exponential` would not go on falling. */
const SMALLEST_EXPONENT: f32 = -87;

/**
 * The largest of `values`; NaN where one of them is.
 * @param count a multiple of 4
 */
export function largestOf(values: usize, count: u32): f32 {
  let largest = f32x4.splat(-Infinity);
  const end = values + 4 * count;
  for (; values < end; values += 16) largest = f32x4.max(largest, v128.load(values));
  largest = f32x4.max(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  largest = f32x4.max(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
  return f32x4.extract_lane(largest, 0);
}

/**
 * `weights[i] = e^((logits[i] − largest) / temperature)`, 0 where that is below e^−87, and the sum of every 128 of them.
 * @param count a multiple of 128
 * @param sums `[count / 128]`, written
 */
export function weigh(
  logits: usize,
  count: u32,
  largest: f32,
  temperature: f32,
  weights: usize,
  sums: usize,
): void {
  const shift = f32x4.splat(largest);
  const divisor = f32x4.splat(temperature);
  const smallest = f32x4.splat(SMALLEST_EXPONENT);
  const end = logits + 4 * count;
  while (logits < end) {
    let sum = f32x4.splat(0);
    const blockEnd = logits + BLOCK_BYTES;
    for (; logits < blockEnd; logits += 16) {
      const exponent = f32x4.div(f32x4.sub(v128.load(logits), shift), divisor);
      const weight = v128.and(exponential(exponent), f32x4.gt(exponent, smallest));
      v128.store(weights, weight);
      sum = f32x4.add(sum, weight);
      weights += 16;
    }
    sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 2, 3, 0, 1));
    sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 1, 0, 3, 2));
    store<f32>(sums, f32x4.extract_lane(sum, 0));
    sums += 4;
  }
}
