/*
 * Scratch memory of a set of queries:
 *   queries       `[D / 4, 4, 4]`  four floats of each of the four queries, scaled
 *   accumulators  `[D / 8, 4, 8]`  eight floats of each of the four outputs (of a lone query: `[D]`)
 *   norms         `[4]`            of each query the largest score, then one over the sum of its weights
 *   scores        `[length, 4]`    of each position for the four queries, then their weights
 */
import { exponential, one } from '../simd';

/** Queries of a set. */
export const SET: u32 = 4;
@inline
export function scratchOfSet(length: u32, headSize: u32): u32 {
  return scoresOffset(headSize) + 16 * length;
}

@inline
export function accumulatorsOffset(headSize: u32): u32 {
  return 16 * headSize;
}

@inline
export function normsOffset(headSize: u32): u32 {
  return 32 * headSize;
}

@inline
export function scoresOffset(headSize: u32): u32 {
  return 32 * headSize + 16;
}

/** Fills the queries of a set, `count` of each row and zero beyond, and clears its accumulators and norms. */
export function prepareSet(
  queries: usize,
  rows: u32,
  rowBytes: u32,
  count: u32,
  headSize: u32,
  scale: f32,
  set: usize,
): void {
  const factor = f32x4.splat(scale);
  const headBytes: u32 = 4 * headSize;
  for (let query: u32 = 0; query < SET; query++) {
    const row = query / count;
    const from = queries + row * rowBytes + (query % count) * headBytes;
    for (let at: u32 = 0; at < headBytes; at += 16) {
      const scaled = row < rows ? f32x4.mul(v128.load(from + at), factor) : f32x4.splat(0);
      v128.store(set + 4 * at + 16 * query, scaled);
    }
  }
  memory.fill(set + accumulatorsOffset(headSize), 0, 16 * headSize);
  v128.store(set + normsOffset(headSize), f32x4.splat(-Infinity));
}

/** Replaces the scores of a set by e^(score − largest), 0 where a position is not seen, and the largest scores by one over the sums. */
export function softmax(length: u32, headSize: u32, set: usize): void {
  const unit = <f32>one();
  const norms = set + normsOffset(headSize);
  const largest = v128.load(norms);
  const scores = set + scoresOffset(headSize);
  const end = scores + 16 * length;
  let sum = f32x4.splat(0);
  let at = scores;
  for (; at + 16 < end; at += 32) {
    const weight = weightOf(v128.load(at), largest, unit);
    const nextWeight = weightOf(v128.load(at, 16), largest, unit);
    v128.store(at, weight);
    v128.store(at, nextWeight, 16);
    sum = f32x4.add(f32x4.add(sum, weight), nextWeight);
  }
  if (at < end) {
    const weight = weightOf(v128.load(at), largest, unit);
    v128.store(at, weight);
    sum = f32x4.add(sum, weight);
  }
  v128.store(norms, f32x4.div(f32x4.splat(1), sum));
}

@inline
function weightOf(score: v128, largest: v128, unit: f32): v128 {
  const isSeen = f32x4.ne(score, f32x4.splat(-Infinity * unit));
  return v128.and(exponential(f32x4.sub(score, largest), unit), isSeen);
}

/** Writes the accumulators of `count` queries of each row, divided by the sums of their weights. */
export function writeOutputs(
  rows: u32,
  rowBytes: u32,
  count: u32,
  headSize: u32,
  set: usize,
  output: usize,
): void {
  const sums = set + accumulatorsOffset(headSize);
  let factors = v128.load(set + normsOffset(headSize));
  // Eight floats of four queries lie side by side; a lone query's floats lie together.
  const stride: u32 = rows * count == 1 ? 32 : 128;
  for (let query: u32 = 0; query < rows * count; query++) {
    const factor = v128.shuffle<f32>(factors, factors, 0, 0, 0, 0);
    let at = sums + 32 * query;
    let target = output + (query / count) * rowBytes + 4 * (query % count) * headSize;
    for (let column: u32 = 0; column < headSize; column += 8) {
      v128.store(target, f32x4.mul(v128.load(at), factor));
      v128.store(target, f32x4.mul(v128.load(at, 16), factor), 16);
      target += 32;
      at += stride;
    }
    factors = v128.shuffle<f32>(factors, factors, 1, 2, 3, 0);
  }
}
