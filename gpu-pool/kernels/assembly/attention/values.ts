/* Weighted sums of the values of a few positions, in units of their scales; layouts as in attention.ts and stored-rows.ts. */
import { multiplyAdd } from '../simd';
import { lowerFour, upperFour } from './stored-rows';

/** Multiplies the weights of each position by the scale of its values. */
export function scaleWeights(weights: usize, weightsEnd: usize, scales: usize, tokenBytes: u32): void {
  for (let at = weights; at < weightsEnd; at += 16) {
    v128.store(at, f32x4.mul(v128.load(at), v128.load32_splat(scales)));
    scales += tokenBytes;
  }
}

/** For four queries, eight floats of the head at a time. */
export function addFour(
  weights: usize,
  weightsEnd: usize,
  values: usize,
  tokenBytes: u32,
  headSize: u32,
  sums: usize,
): void {
  for (let column: u32 = 0; column < headSize; column += 8) {
    let value = values + 2 * column;
    let sum0 = v128.load(sums);
    let sum0b = v128.load(sums, 16);
    let sum1 = v128.load(sums, 32);
    let sum1b = v128.load(sums, 48);
    let sum2 = v128.load(sums, 64);
    let sum2b = v128.load(sums, 80);
    let sum3 = v128.load(sums, 96);
    let sum3b = v128.load(sums, 112);
    for (let weight = weights; weight < weightsEnd; weight += 16) {
      const words = v128.load(value);
      const vector = lowerFour(words);
      const vectorB = upperFour(words);
      const weight0 = v128.load32_splat(weight);
      sum0 = multiplyAdd(weight0, vector, sum0);
      sum0b = multiplyAdd(weight0, vectorB, sum0b);
      const weight1 = v128.load32_splat(weight, 4);
      sum1 = multiplyAdd(weight1, vector, sum1);
      sum1b = multiplyAdd(weight1, vectorB, sum1b);
      const weight2 = v128.load32_splat(weight, 8);
      sum2 = multiplyAdd(weight2, vector, sum2);
      sum2b = multiplyAdd(weight2, vectorB, sum2b);
      const weight3 = v128.load32_splat(weight, 12);
      sum3 = multiplyAdd(weight3, vector, sum3);
      sum3b = multiplyAdd(weight3, vectorB, sum3b);
      value += tokenBytes;
    }
    v128.store(sums, sum0);
    v128.store(sums, sum0b, 16);
    v128.store(sums, sum1, 32);
    v128.store(sums, sum1b, 48);
    v128.store(sums, sum2, 64);
    v128.store(sums, sum2b, 80);
    v128.store(sums, sum3, 96);
    v128.store(sums, sum3b, 112);
    sums += 128;
  }
}

/** For the first two queries, 16 floats of the head at a time. */
export function addTwo(
  weights: usize,
  weightsEnd: usize,
  values: usize,
  tokenBytes: u32,
  headSize: u32,
  sums: usize,
): void {
  for (let column: u32 = 0; column < headSize; column += 16) {
    let value = values + 2 * column;
    let a0 = v128.load(sums);
    let a1 = v128.load(sums, 16);
    let b0 = v128.load(sums, 32);
    let b1 = v128.load(sums, 48);
    let a2 = v128.load(sums, 128);
    let a3 = v128.load(sums, 144);
    let b2 = v128.load(sums, 160);
    let b3 = v128.load(sums, 176);
    for (let at = weights; at < weightsEnd; at += 16) {
      const weightA = v128.load32_splat(at);
      const weightB = v128.load32_splat(at, 4);
      const words0 = v128.load(value);
      const vector0 = lowerFour(words0);
      a0 = multiplyAdd(weightA, vector0, a0);
      b0 = multiplyAdd(weightB, vector0, b0);
      const vector1 = upperFour(words0);
      a1 = multiplyAdd(weightA, vector1, a1);
      b1 = multiplyAdd(weightB, vector1, b1);
      const words1 = v128.load(value, 16);
      const vector2 = lowerFour(words1);
      a2 = multiplyAdd(weightA, vector2, a2);
      b2 = multiplyAdd(weightB, vector2, b2);
      const vector3 = upperFour(words1);
      a3 = multiplyAdd(weightA, vector3, a3);
      b3 = multiplyAdd(weightB, vector3, b3);
      value += tokenBytes;
    }
    v128.store(sums, a0);
    v128.store(sums, a1, 16);
    v128.store(sums, b0, 32);
    v128.store(sums, b1, 48);
    v128.store(sums, a2, 128);
    v128.store(sums, a3, 144);
    v128.store(sums, b2, 160);
    v128.store(sums, b3, 176);
    sums += 256;
  }
}

/** For a lone query, 16 floats of the head at a time. */
export function addOne(
  weights: usize,
  weightsEnd: usize,
  values: usize,
  tokenBytes: u32,
  headSize: u32,
  sums: usize,
): void {
  for (let column: u32 = 0; column < headSize; column += 16) {
    let value = values + 2 * column;
    let sum0 = v128.load(sums);
    let sum1 = v128.load(sums, 16);
    let sum2 = v128.load(sums, 32);
    let sum3 = v128.load(sums, 48);
    for (let at = weights; at < weightsEnd; at += 16) {
      const weight = v128.load(at);
      const words0 = v128.load(value);
      sum0 = multiplyAdd(weight, lowerFour(words0), sum0);
      sum1 = multiplyAdd(weight, upperFour(words0), sum1);
      const words1 = v128.load(value, 16);
      sum2 = multiplyAdd(weight, lowerFour(words1), sum2);
      sum3 = multiplyAdd(weight, upperFour(words1), sum3);
      value += tokenBytes;
    }
    v128.store(sums, sum0);
    v128.store(sums, sum1, 16);
    v128.store(sums, sum2, 32);
    v128.store(sums, sum3, 48);
    sums += 64;
  }
}
