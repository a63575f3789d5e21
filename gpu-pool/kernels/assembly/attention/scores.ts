/* Scores of a pair of queries over a few positions; layouts as in tile.ts and numbers.ts. */
import { multiplyAdd, sumLanes, together } from '../simd';
import { lower, upper, words } from './numbers';

/**
 * Scores of four positions at a time; what is written beyond the last means nothing. Eight sums fill the registers where they share
 * vectors of 256 bits: a and b are of the two queries, and of each sum of eight lanes the first half is 0 to 3, the second 4 to 7.
 * @param keyBytes from one position's key to the next
 * @param scores of the first query; those of the second one are `scoreBytes` behind
 * @param next where keys are as they are stored: as much as `count` positions have of them, read meanwhile, since all else would wait
 *   for memory; its bits go into the result
 */
export function scorePair<T>(
  queries: usize,
  headSize: u32,
  keys: usize,
  keyBytes: u32,
  scales: usize,
  count: u32,
  scores: usize,
  scoreBytes: u32,
  next: usize,
): v128 {
  let read = i32x4.splat(0);
  const step: u32 = isFloat<T>() ? 64 : 32;
  const queriesEnd = queries + 8 * headSize;
  for (const scoresEnd = scores + 4 * count; scores < scoresEnd; scores += 16) {
    let key0 = keys;
    let key1 = key0 + keyBytes;
    let key2 = key1 + keyBytes;
    let key3 = key2 + keyBytes;
    keys = key3 + keyBytes;
    if (scores + 12 >= scoresEnd) {
      // Beyond the last position, the last one is computed again.
      if (scores + 4 >= scoresEnd) key1 = key0;
      if (scores + 8 >= scoresEnd) key2 = key1;
      key3 = key2;
    }
    let a0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let a2 = f32x4.splat(0);
    let a3 = f32x4.splat(0);
    let a4 = f32x4.splat(0);
    let a5 = f32x4.splat(0);
    let a6 = f32x4.splat(0);
    let a7 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let b2 = f32x4.splat(0);
    let b3 = f32x4.splat(0);
    let b4 = f32x4.splat(0);
    let b5 = f32x4.splat(0);
    let b6 = f32x4.splat(0);
    let b7 = f32x4.splat(0);
    for (let query = queries; query < queriesEnd; query += 128) {
      if (!isFloat<T>()) {
        read = v128.or(read, v128.or(v128.load(next), v128.load(next, 64)));
        next += 128;
      }
      const lowerA0 = v128.load(query);
      const lowerA1 = v128.load(query, 16);
      const lowerB0 = v128.load(query, 32);
      const lowerB1 = v128.load(query, 48);
      const upperA0 = v128.load(query, 64);
      const upperA1 = v128.load(query, 80);
      const upperB0 = v128.load(query, 96);
      const upperB1 = v128.load(query, 112);
      const words0 = words<T>(key0);
      const words4 = words<T>(key0 + 16);
      const l0 = lower<T>(key0, words0);
      const l4 = lower<T>(key0 + 16, words4);
      a0 = multiplyAdd(lowerA0, l0, a0);
      a4 = multiplyAdd(lowerA1, l4, a4);
      b0 = multiplyAdd(lowerB0, l0, b0);
      b4 = multiplyAdd(lowerB1, l4, b4);
      const u0 = upper<T>(key0, words0);
      const u4 = upper<T>(key0 + 16, words4);
      a0 = multiplyAdd(upperA0, u0, a0);
      a4 = multiplyAdd(upperA1, u4, a4);
      b0 = multiplyAdd(upperB0, u0, b0);
      b4 = multiplyAdd(upperB1, u4, b4);
      key0 += step;
      const words1 = words<T>(key1);
      const words5 = words<T>(key1 + 16);
      const l1 = lower<T>(key1, words1);
      const l5 = lower<T>(key1 + 16, words5);
      a1 = multiplyAdd(lowerA0, l1, a1);
      a5 = multiplyAdd(lowerA1, l5, a5);
      b1 = multiplyAdd(lowerB0, l1, b1);
      b5 = multiplyAdd(lowerB1, l5, b5);
      const u1 = upper<T>(key1, words1);
      const u5 = upper<T>(key1 + 16, words5);
      a1 = multiplyAdd(upperA0, u1, a1);
      a5 = multiplyAdd(upperA1, u5, a5);
      b1 = multiplyAdd(upperB0, u1, b1);
      b5 = multiplyAdd(upperB1, u5, b5);
      key1 += step;
      const words2 = words<T>(key2);
      const words6 = words<T>(key2 + 16);
      const l2 = lower<T>(key2, words2);
      const l6 = lower<T>(key2 + 16, words6);
      a2 = multiplyAdd(lowerA0, l2, a2);
      a6 = multiplyAdd(lowerA1, l6, a6);
      b2 = multiplyAdd(lowerB0, l2, b2);
      b6 = multiplyAdd(lowerB1, l6, b6);
      const u2 = upper<T>(key2, words2);
      const u6 = upper<T>(key2 + 16, words6);
      a2 = multiplyAdd(upperA0, u2, a2);
      a6 = multiplyAdd(upperA1, u6, a6);
      b2 = multiplyAdd(upperB0, u2, b2);
      b6 = multiplyAdd(upperB1, u6, b6);
      key2 += step;
      const words3 = words<T>(key3);
      const words7 = words<T>(key3 + 16);
      const l3 = lower<T>(key3, words3);
      const l7 = lower<T>(key3 + 16, words7);
      a3 = multiplyAdd(lowerA0, l3, a3);
      a7 = multiplyAdd(lowerA1, l7, a7);
      b3 = multiplyAdd(lowerB0, l3, b3);
      b7 = multiplyAdd(lowerB1, l7, b7);
      const u3 = upper<T>(key3, words3);
      const u7 = upper<T>(key3 + 16, words7);
      a3 = multiplyAdd(upperA0, u3, a3);
      a7 = multiplyAdd(upperA1, u7, a7);
      b3 = multiplyAdd(upperB0, u3, b3);
      b7 = multiplyAdd(upperB1, u7, b7);
      key3 += step;
    }
    const sumsA0 = sumLanes(a0, a1, a2, a3);
    const sumsA1 = sumLanes(a4, a5, a6, a7);
    const sumsB0 = sumLanes(b0, b1, b2, b3);
    const sumsB1 = sumLanes(b4, b5, b6, b7);
    const nothing = together(sumsA0, sumsA1, sumsB0, sumsB1);
    const fourScales = v128.load(scales);
    v128.store(scores, f32x4.mul(v128.or(f32x4.add(sumsA0, sumsA1), nothing), fourScales));
    v128.store(scores + scoreBytes, f32x4.mul(f32x4.add(sumsB0, sumsB1), fourScales));
    scales += 16;
  }
  return read;
}
