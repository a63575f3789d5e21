import { exponential, one } from './simd';

/** Logits whose weights are summed together. */
const BLOCK_BYTES: u32 = 512;
/** e to anything smaller counts as 0: `exponential` would not go on falling. */
const SMALLEST_EXPONENT: f32 = -87;

/** Floats that `indexOfLargest` looks at together. */
const STEP_BYTES: u32 = 64;

/**
 * Index of the largest of `values`, the first one among equals; -1 where one of them is NaN or the largest is infinite.
 * @param count a multiple of 16
 */
export function indexOfLargest(values: usize, count: u32): i32 {
  let a = f32x4.splat(-Infinity);
  let b = a;
  let c = a;
  let d = a;
  let notNumbers = i32x4.splat(0);
  const end = values + 4 * count;
  for (let at = values; at < end; at += STEP_BYTES) {
    const first = v128.load(at);
    const second = v128.load(at, 16);
    const third = v128.load(at, 32);
    const fourth = v128.load(at, 48);
    a = f32x4.pmax(a, first);
    b = f32x4.pmax(b, second);
    c = f32x4.pmax(c, third);
    d = f32x4.pmax(d, fourth);
    const firstTwo = v128.or(f32x4.ne(first, first), f32x4.ne(second, second));
    const lastTwo = v128.or(f32x4.ne(third, third), f32x4.ne(fourth, fourth));
    notNumbers = v128.or(notNumbers, v128.or(firstTwo, lastTwo));
  }
  let largest = f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d));
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
  if (v128.any_true(notNumbers) || abs(f32x4.extract_lane(largest, 0)) == Infinity) return -1;
  let at = values;
  while (!v128.any_true(f32x4.eq(v128.load(at), largest))) at += 16;
  return <i32>((at - values) / 4) + ctz(i32x4.bitmask(f32x4.eq(v128.load(at), largest)));
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
  const unit = <f32>one();
  const shift = f32x4.splat(largest);
  const divisor = f32x4.splat(temperature);
  const smallest = f32x4.splat(SMALLEST_EXPONENT);
  const end = logits + 4 * count;
  while (logits < end) {
    let sum = f32x4.splat(0);
    const blockEnd = logits + BLOCK_BYTES;
    for (; logits < blockEnd; logits += 32) {
      const exponent = f32x4.div(f32x4.sub(v128.load(logits), shift), divisor);
      const weight = v128.and(exponential(exponent, unit), f32x4.gt(exponent, smallest));
      const nextExponent = f32x4.div(f32x4.sub(v128.load(logits, 16), shift), divisor);
      const nextWeight = v128.and(exponential(nextExponent, unit), f32x4.gt(nextExponent, smallest));
      v128.store(weights, weight);
      v128.store(weights, nextWeight, 16);
      sum = f32x4.add(f32x4.add(sum, weight), nextWeight);
      weights += 32;
    }
    sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 2, 3, 0, 1));
    sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 1, 0, 3, 2));
    store<f32>(sums, f32x4.extract_lane(sum, 0));
    sums += 4;
  }
}
