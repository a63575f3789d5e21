/* Weighted sums of the values of a few positions for a pair of queries; layouts as in tile.ts and numbers.ts. */
import { multiplyAdd } from '../simd';
import { lower, upper, words } from './numbers';

/**
 * Adds weight · value of `count` positions; weights are in units of the values' scales.
 * @param weights of the first query; those of the second one are `weightBytes` behind
 * @param valueBytes from one position's value to the next
 * @param next as in scores.ts
 */
export function addPair<T>(
  weights: usize,
  weightBytes: u32,
  values: usize,
  valueBytes: u32,
  count: u32,
  headSize: u32,
  sums: usize,
  next: usize,
): v128 {
  let read = i32x4.splat(0);
  let column: u32 = 0;
  for (; column + 32 <= headSize; column += 32) {
    read = v128.or(read, addColumns32<T>(weights, weightBytes, values, valueBytes, count, sums, next));
    next += 64 * count;
    values += isFloat<T>() ? 128 : 64;
    sums += 256;
  }
  if (column < headSize) addColumns16<T>(weights, weightBytes, values, valueBytes, count, sums);
  return read;
}

/** Of 32 numbers of the head: so many sums fill the registers where they share vectors of 256 bits. */
@inline
function addColumns32<T>(
  weights: usize,
  weightBytes: u32,
  values: usize,
  valueBytes: u32,
  count: u32,
  sums: usize,
  next: usize,
): v128 {
  let read = i32x4.splat(0);
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let b0 = v128.load(sums, 32);
  let b1 = v128.load(sums, 48);
  let a2 = v128.load(sums, 64);
  let a3 = v128.load(sums, 80);
  let b2 = v128.load(sums, 96);
  let b3 = v128.load(sums, 112);
  let a4 = v128.load(sums, 128);
  let a5 = v128.load(sums, 144);
  let b4 = v128.load(sums, 160);
  let b5 = v128.load(sums, 176);
  let a6 = v128.load(sums, 192);
  let a7 = v128.load(sums, 208);
  let b6 = v128.load(sums, 224);
  let b7 = v128.load(sums, 240);
  const weightsEnd = weights + 4 * count;
  for (; weights < weightsEnd; weights += 4) {
    if (!isFloat<T>()) {
      read = v128.or(read, v128.load(next));
      next += 64;
    }
    const weightA = v128.load32_splat(weights);
    const weightB = v128.load32_splat(weights + weightBytes);
    const words0 = words<T>(values);
    const words1 = words<T>(values + 16);
    const value0 = lower<T>(values, words0);
    const value1 = lower<T>(values + 16, words1);
    a0 = multiplyAdd(weightA, value0, a0);
    a1 = multiplyAdd(weightA, value1, a1);
    b0 = multiplyAdd(weightB, value0, b0);
    b1 = multiplyAdd(weightB, value1, b1);
    const value2 = upper<T>(values, words0);
    const value3 = upper<T>(values + 16, words1);
    a2 = multiplyAdd(weightA, value2, a2);
    a3 = multiplyAdd(weightA, value3, a3);
    b2 = multiplyAdd(weightB, value2, b2);
    b3 = multiplyAdd(weightB, value3, b3);
    const words2 = words<T>(values + 32);
    const words3 = words<T>(values + 48);
    const value4 = lower<T>(values + 64, words2);
    const value5 = lower<T>(values + 80, words3);
    a4 = multiplyAdd(weightA, value4, a4);
    a5 = multiplyAdd(weightA, value5, a5);
    b4 = multiplyAdd(weightB, value4, b4);
    b5 = multiplyAdd(weightB, value5, b5);
    const value6 = upper<T>(values + 64, words2);
    const value7 = upper<T>(values + 80, words3);
    a6 = multiplyAdd(weightA, value6, a6);
    a7 = multiplyAdd(weightA, value7, a7);
    b6 = multiplyAdd(weightB, value6, b6);
    b7 = multiplyAdd(weightB, value7, b7);
    values += valueBytes;
  }
  v128.store(sums, a1, 16);
  v128.store(sums, a0);
  v128.store(sums, b1, 48);
  v128.store(sums, b0, 32);
  v128.store(sums, a3, 80);
  v128.store(sums, a2, 64);
  v128.store(sums, b3, 112);
  v128.store(sums, b2, 96);
  v128.store(sums, a5, 144);
  v128.store(sums, a4, 128);
  v128.store(sums, b5, 176);
  v128.store(sums, b4, 160);
  v128.store(sums, a7, 208);
  v128.store(sums, a6, 192);
  v128.store(sums, b7, 240);
  v128.store(sums, b6, 224);
  return read;
}

/** Of the last 16 numbers, where those of a head are no multiple of 32. */
@inline
function addColumns16<T>(
  weights: usize,
  weightBytes: u32,
  values: usize,
  valueBytes: u32,
  count: u32,
  sums: usize,
): void {
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let b0 = v128.load(sums, 32);
  let b1 = v128.load(sums, 48);
  let a2 = v128.load(sums, 64);
  let a3 = v128.load(sums, 80);
  let b2 = v128.load(sums, 96);
  let b3 = v128.load(sums, 112);
  const weightsEnd = weights + 4 * count;
  for (; weights < weightsEnd; weights += 4) {
    const weightA = v128.load32_splat(weights);
    const weightB = v128.load32_splat(weights + weightBytes);
    const words0 = words<T>(values);
    const words1 = words<T>(values + 16);
    const value0 = lower<T>(values, words0);
    const value1 = lower<T>(values + 16, words1);
    a0 = multiplyAdd(weightA, value0, a0);
    a1 = multiplyAdd(weightA, value1, a1);
    b0 = multiplyAdd(weightB, value0, b0);
    b1 = multiplyAdd(weightB, value1, b1);
    const value2 = upper<T>(values, words0);
    const value3 = upper<T>(values + 16, words1);
    a2 = multiplyAdd(weightA, value2, a2);
    a3 = multiplyAdd(weightA, value3, a3);
    b2 = multiplyAdd(weightB, value2, b2);
    b3 = multiplyAdd(weightB, value3, b3);
    values += valueBytes;
  }
  v128.store(sums, a1, 16);
  v128.store(sums, a0);
  v128.store(sums, b1, 48);
  v128.store(sums, b0, 32);
  v128.store(sums, a3, 80);
  v128.store(sums, a2, 64);
  v128.store(sums, b3, 112);
  v128.store(sums, b2, 96);
}
