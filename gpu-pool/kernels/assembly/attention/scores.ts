/* Scores of a set of queries over a few positions; layouts as in attention.ts and stored-rows.ts. */
import { multiplyAdd, sumLanes, together } from '../simd';
import { lowerFour, upperFour } from './stored-rows';

/** Scores for four queries; returns each query's largest. Two positions at a time fill the registers. */
export function scoreFour(
  queries: usize,
  headSize: u32,
  keys: usize,
  scales: usize,
  count: u32,
  tokenBytes: u32,
  scores: usize,
): v128 {
  const queriesEnd = queries + 16 * headSize;
  let largest = f32x4.splat(-Infinity);
  for (let position: u32 = 0; position < count; position += 2) {
    let keyA = keys + position * tokenBytes;
    // The last of an odd number of positions is computed twice.
    let keyB = position + 1 < count ? keyA + tokenBytes : keyA;
    let a0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let a2 = f32x4.splat(0);
    let a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let b2 = f32x4.splat(0);
    let b3 = f32x4.splat(0);
    for (let query = queries; query < queriesEnd; query += 128) {
      const wordsA = v128.load(keyA);
      const wordsB = v128.load(keyB);
      const lowerA = lowerFour(wordsA);
      const lowerB = lowerFour(wordsB);
      const lower0 = v128.load(query, 0);
      a0 = multiplyAdd(lower0, lowerA, a0);
      b0 = multiplyAdd(lower0, lowerB, b0);
      const lower1 = v128.load(query, 16);
      a1 = multiplyAdd(lower1, lowerA, a1);
      b1 = multiplyAdd(lower1, lowerB, b1);
      const lower2 = v128.load(query, 32);
      a2 = multiplyAdd(lower2, lowerA, a2);
      b2 = multiplyAdd(lower2, lowerB, b2);
      const lower3 = v128.load(query, 48);
      a3 = multiplyAdd(lower3, lowerA, a3);
      b3 = multiplyAdd(lower3, lowerB, b3);
      const upperA = upperFour(wordsA);
      const upperB = upperFour(wordsB);
      const upper0 = v128.load(query, 64);
      a0 = multiplyAdd(upper0, upperA, a0);
      b0 = multiplyAdd(upper0, upperB, b0);
      const upper1 = v128.load(query, 80);
      a1 = multiplyAdd(upper1, upperA, a1);
      b1 = multiplyAdd(upper1, upperB, b1);
      const upper2 = v128.load(query, 96);
      a2 = multiplyAdd(upper2, upperA, a2);
      b2 = multiplyAdd(upper2, upperB, b2);
      const upper3 = v128.load(query, 112);
      a3 = multiplyAdd(upper3, upperA, a3);
      b3 = multiplyAdd(upper3, upperB, b3);
      keyA += 16;
      keyB += 16;
    }
    const scale = scales + position * tokenBytes;
    const scaleB = position + 1 < count ? scale + tokenBytes : scale;
    const scoresA = f32x4.mul(sumLanes(a0, a1, a2, a3), v128.load32_splat(scale));
    const scoresB = f32x4.mul(sumLanes(b0, b1, b2, b3), v128.load32_splat(scaleB));
    largest = f32x4.pmax(largest, f32x4.pmax(scoresA, scoresB));
    v128.store(scores + 16 * position, scoresA);
    if (position + 1 < count) v128.store(scores + 16 * position + 16, scoresB);
  }
  return largest;
}

/** Scores for the first two queries, in the first two lanes; four positions at a time. */
export function scoreTwo(
  queries: usize,
  headSize: u32,
  keys: usize,
  scales: usize,
  count: u32,
  tokenBytes: u32,
  scores: usize,
): v128 {
  const queriesEnd = queries + 16 * headSize;
  let largest = f32x4.splat(-Infinity);
  for (let position: u32 = 0; position < count; position += 4) {
    // Beyond the last position, the last one is computed again.
    const last = count - 1 - position;
    let key0 = keys + position * tokenBytes;
    let key1 = key0 + min(1, last) * tokenBytes;
    let key2 = key0 + min(2, last) * tokenBytes;
    let key3 = key0 + min(3, last) * tokenBytes;
    let a0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let a2 = f32x4.splat(0);
    let a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let b2 = f32x4.splat(0);
    let b3 = f32x4.splat(0);
    for (let query = queries; query < queriesEnd; query += 128) {
      const words0 = v128.load(key0);
      const words1 = v128.load(key1);
      const words2 = v128.load(key2);
      const words3 = v128.load(key3);
      const lowerA = v128.load(query, 0);
      const lowerB = v128.load(query, 16);
      const lower0 = lowerFour(words0);
      a0 = multiplyAdd(lowerA, lower0, a0);
      b0 = multiplyAdd(lowerB, lower0, b0);
      const lower1 = lowerFour(words1);
      a1 = multiplyAdd(lowerA, lower1, a1);
      b1 = multiplyAdd(lowerB, lower1, b1);
      const lower2 = lowerFour(words2);
      a2 = multiplyAdd(lowerA, lower2, a2);
      b2 = multiplyAdd(lowerB, lower2, b2);
      const lower3 = lowerFour(words3);
      a3 = multiplyAdd(lowerA, lower3, a3);
      b3 = multiplyAdd(lowerB, lower3, b3);
      const upperA = v128.load(query, 64);
      const upperB = v128.load(query, 80);
      const upper0 = upperFour(words0);
      a0 = multiplyAdd(upperA, upper0, a0);
      b0 = multiplyAdd(upperB, upper0, b0);
      const upper1 = upperFour(words1);
      a1 = multiplyAdd(upperA, upper1, a1);
      b1 = multiplyAdd(upperB, upper1, b1);
      const upper2 = upperFour(words2);
      a2 = multiplyAdd(upperA, upper2, a2);
      b2 = multiplyAdd(upperB, upper2, b2);
      const upper3 = upperFour(words3);
      a3 = multiplyAdd(upperA, upper3, a3);
      b3 = multiplyAdd(upperB, upper3, b3);
      key0 += 16;
      key1 += 16;
      key2 += 16;
      key3 += 16;
    }
    const fourScales = scalesOfFour(scales + position * tokenBytes, tokenBytes, last);
    const firstScales = v128.shuffle<f32>(fourScales, fourScales, 0, 0, 1, 1);
    const lastScales = v128.shuffle<f32>(fourScales, fourScales, 2, 2, 3, 3);
    const firstSums = v128.or(sumLanes(a0, b0, a1, b1), together(a0, b0, a1, b1));
    const lastSums = v128.or(sumLanes(a2, b2, a3, b3), together(a2, b2, a3, b3));
    const firstTwo = f32x4.mul(firstSums, firstScales);
    const lastTwo = f32x4.mul(lastSums, lastScales);
    largest = f32x4.pmax(largest, f32x4.pmax(firstTwo, lastTwo));
    const target = scores + 16 * position;
    v128.store(target, firstTwo);
    if (last >= 1) v128.store(target + 16, v128.shuffle<f32>(firstTwo, firstTwo, 2, 3, 2, 3));
    if (last >= 2) v128.store(target + 32, lastTwo);
    if (last >= 3) v128.store(target + 48, v128.shuffle<f32>(lastTwo, lastTwo, 2, 3, 2, 3));
  }
  return f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 2, 3));
}

/** Scores for the first query, in all four lanes; four positions at a time. */
export function scoreOne(
  queries: usize,
  headSize: u32,
  keys: usize,
  scales: usize,
  count: u32,
  tokenBytes: u32,
  scores: usize,
): v128 {
  const queriesEnd = queries + 16 * headSize;
  let largest = f32x4.splat(-Infinity);
  for (let position: u32 = 0; position < count; position += 4) {
    // Beyond the last position, the last one is computed again.
    const last = count - 1 - position;
    let key0 = keys + position * tokenBytes;
    let key1 = key0 + min(1, last) * tokenBytes;
    let key2 = key0 + min(2, last) * tokenBytes;
    let key3 = key0 + min(3, last) * tokenBytes;
    let sum0 = f32x4.splat(0);
    let sum1 = f32x4.splat(0);
    let sum2 = f32x4.splat(0);
    let sum3 = f32x4.splat(0);
    for (let query = queries; query < queriesEnd; query += 128) {
      const lower = v128.load(query);
      const upper = v128.load(query, 64);
      const words0 = v128.load(key0);
      sum0 = multiplyAdd(lower, lowerFour(words0), sum0);
      sum0 = multiplyAdd(upper, upperFour(words0), sum0);
      const words1 = v128.load(key1);
      sum1 = multiplyAdd(lower, lowerFour(words1), sum1);
      sum1 = multiplyAdd(upper, upperFour(words1), sum1);
      const words2 = v128.load(key2);
      sum2 = multiplyAdd(lower, lowerFour(words2), sum2);
      sum2 = multiplyAdd(upper, upperFour(words2), sum2);
      const words3 = v128.load(key3);
      sum3 = multiplyAdd(lower, lowerFour(words3), sum3);
      sum3 = multiplyAdd(upper, upperFour(words3), sum3);
      key0 += 16;
      key1 += 16;
      key2 += 16;
      key3 += 16;
    }
    const fourScales = scalesOfFour(scales + position * tokenBytes, tokenBytes, last);
    const sums = f32x4.mul(sumLanes(sum0, sum1, sum2, sum3), fourScales);
    largest = f32x4.pmax(largest, sums);
    const target = scores + 16 * position;
    v128.store(target, v128.shuffle<f32>(sums, sums, 0, 0, 0, 0));
    if (last >= 1) v128.store(target + 16, v128.shuffle<f32>(sums, sums, 1, 1, 1, 1));
    if (last >= 2) v128.store(target + 32, v128.shuffle<f32>(sums, sums, 2, 2, 2, 2));
    if (last >= 3) v128.store(target + 48, v128.shuffle<f32>(sums, sums, 3, 3, 3, 3));
  }
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  return f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
}

/** Scales of four positions, of which the one after `last` and all further ones are the last again. */
@inline
function scalesOfFour(scales: usize, tokenBytes: u32, last: u32): v128 {
  let four = v128.load32_splat(scales);
  four = v128.load32_lane(scales + min(1, last) * tokenBytes, four, 1);
  four = v128.load32_lane(scales + min(2, last) * tokenBytes, four, 2);
  return v128.load32_lane(scales + min(3, last) * tokenBytes, four, 3);
}
