/* Weights of a query, whose scores lie side by side. */
import { decay, together } from '../simd';

/**
 * Replaces scores by e^(score − largest), and what lies behind those that are seen by 0.
 * @param length of all, a multiple of 8
 * @param constants of `decay`
 * @param largestTo where the largest score is written, −∞ where none is seen
 * @param sumTo where the sum of the weights is written
 */
export function weighScores(
  scores: usize,
  seen: u32,
  length: u32,
  constants: usize,
  largestTo: usize,
  sumTo: usize,
): void {
  const end = scores + 4 * length;
  for (let at = scores + 4 * seen; at < end; at += 4) store<f32>(at, -Infinity);
  const largest = largestOf(scores, end);
  const unseen = f32x4.splat(-Infinity);
  let sum0 = f32x4.splat(0);
  let sum1 = f32x4.splat(0);
  for (let at = scores; at < end; at += 32) {
    const score0 = v128.load(at);
    const score1 = v128.load(at, 16);
    const weight0 = v128.and(decay(f32x4.sub(score0, largest), constants), f32x4.ne(score0, unseen));
    const weight1 = v128.and(decay(f32x4.sub(score1, largest), constants), f32x4.ne(score1, unseen));
    v128.store(at, weight1, 16);
    v128.store(at, weight0);
    sum0 = f32x4.add(sum0, weight0);
    sum1 = f32x4.add(sum1, weight1);
  }
  let sum = f32x4.add(v128.or(sum0, together(sum0, sum1, sum0, sum1)), sum1);
  sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 2, 3, 0, 1));
  sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 1, 0, 3, 2));
  store<f32>(largestTo, f32x4.extract_lane(largest, 0));
  store<f32>(sumTo, f32x4.extract_lane(sum, 0));
}

/** The largest score, in all lanes. */
@inline
function largestOf(scores: usize, end: usize): v128 {
  let largest = f32x4.splat(-Infinity);
  let other = largest;
  for (let at = scores; at < end; at += 32) {
    largest = f32x4.pmax(largest, v128.load(at));
    other = f32x4.pmax(other, v128.load(at, 16));
  }
  largest = f32x4.pmax(largest, other);
  largest = f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
  return f32x4.pmax(largest, v128.shuffle<f32>(largest, largest, 1, 0, 3, 2));
}

/** Multiplies the weights of `count` positions by the scales of their values, and those up to the next multiple of 4 by something. */
export function scaleWeights(weights: usize, scales: usize, count: u32): void {
  for (const end = weights + 4 * count; weights < end; weights += 16) {
    v128.store(weights, f32x4.mul(v128.load(weights), v128.load(scales)));
    scales += 16;
  }
}
