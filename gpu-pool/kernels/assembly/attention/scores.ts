/* Scores of a set of queries over a few positions; layouts as in attention.ts. */
import { multiplyAdd, sumLanes } from '../simd';

/** Scores for four queries; returns each query's largest. Two positions at a time fill the registers. */
export function scoreFour(
  queries: usize,
  headSize: u32,
  keys: usize,
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
    for (let query = queries; query < queriesEnd; query += 64) {
      const vectorA = v128.load(keyA);
      const vectorB = v128.load(keyB);
      const query0 = v128.load(query);
      a0 = multiplyAdd(query0, vectorA, a0);
      b0 = multiplyAdd(query0, vectorB, b0);
      const query1 = v128.load(query + 16);
      a1 = multiplyAdd(query1, vectorA, a1);
      b1 = multiplyAdd(query1, vectorB, b1);
      const query2 = v128.load(query + 32);
      a2 = multiplyAdd(query2, vectorA, a2);
      b2 = multiplyAdd(query2, vectorB, b2);
      const query3 = v128.load(query + 48);
      a3 = multiplyAdd(query3, vectorA, a3);
      b3 = multiplyAdd(query3, vectorB, b3);
      keyA += 16;
      keyB += 16;
    }
    const scoresA = sumLanes(a0, a1, a2, a3);
    const scoresB = sumLanes(b0, b1, b2, b3);
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
    for (let query = queries; query < queriesEnd; query += 64) {
      const queryA = v128.load(query);
      const queryB = v128.load(query + 16);
      const vector0 = v128.load(key0);
      a0 = multiplyAdd(queryA, vector0, a0);
      b0 = multiplyAdd(queryB, vector0, b0);
      const vector1 = v128.load(key1);
      a1 = multiplyAdd(queryA, vector1, a1);
      b1 = multiplyAdd(queryB, vector1, b1);
      const vector2 = v128.load(key2);
      a2 = multiplyAdd(queryA, vector2, a2);
      b2 = multiplyAdd(queryB, vector2, b2);
      const vector3 = v128.load(key3);
      a3 = multiplyAdd(queryA, vector3, a3);
      b3 = multiplyAdd(queryB, vector3, b3);
      key0 += 16;
      key1 += 16;
      key2 += 16;
      key3 += 16;
    }
    const firstTwo = sumLanes(a0, b0, a1, b1);
    const lastTwo = sumLanes(a2, b2, a3, b3);
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
    for (let query = queries; query < queriesEnd; query += 64) {
      const vector = v128.load(query);
      sum0 = multiplyAdd(vector, v128.load(key0), sum0);
      sum1 = multiplyAdd(vector, v128.load(key1), sum1);
      sum2 = multiplyAdd(vector, v128.load(key2), sum2);
      sum3 = multiplyAdd(vector, v128.load(key3), sum3);
      key0 += 16;
      key1 += 16;
      key2 += 16;
      key3 += 16;
    }
    const sums = sumLanes(sum0, sum1, sum2, sum3);
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
