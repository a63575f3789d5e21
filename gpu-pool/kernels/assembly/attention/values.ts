/* Weighted sums of the values of a few positions, in units of their scales; layouts as in attention.ts and stored-rows.ts. */
import { multiplyAdd, together } from '../simd';
import { lowerFour, upperFour } from './stored-rows';

/** Multiplies the weights of each position by the scale of its values. */
export function scaleWeights(weights: usize, weightsEnd: usize, scales: usize, tokenBytes: u32): void {
  for (let at = weights; at < weightsEnd; at += 16) {
    v128.store(at, f32x4.mul(v128.load(at), v128.load32_splat(scales)));
    scales += tokenBytes;
  }
}

/** For four queries, 16 floats of the head at a time: so many sums fill the registers where they share vectors of 256 bits. */
export function addFour(
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
    let a2 = v128.load(sums, 128);
    let a3 = v128.load(sums, 144);
    let b0 = v128.load(sums, 32);
    let b1 = v128.load(sums, 48);
    let b2 = v128.load(sums, 160);
    let b3 = v128.load(sums, 176);
    let c0 = v128.load(sums, 64);
    let c1 = v128.load(sums, 80);
    let c2 = v128.load(sums, 192);
    let c3 = v128.load(sums, 208);
    let d0 = v128.load(sums, 96);
    let d1 = v128.load(sums, 112);
    let d2 = v128.load(sums, 224);
    let d3 = v128.load(sums, 240);
    for (let weight = weights; weight < weightsEnd; weight += 16) {
      const first = v128.load(value);
      const second = v128.load(value, 16);
      const vector0 = lowerFour(first);
      const vector1 = upperFour(first);
      const vector2 = lowerFour(second);
      const vector3 = upperFour(second);
      const weightA = v128.load32_splat(weight);
      a0 = multiplyAdd(weightA, vector0, a0);
      a1 = multiplyAdd(weightA, vector1, a1);
      a2 = multiplyAdd(weightA, vector2, a2);
      a3 = multiplyAdd(weightA, vector3, a3);
      const weightB = v128.load32_splat(weight, 4);
      b0 = multiplyAdd(weightB, vector0, b0);
      b1 = multiplyAdd(weightB, vector1, b1);
      b2 = multiplyAdd(weightB, vector2, b2);
      b3 = multiplyAdd(weightB, vector3, b3);
      const weightC = v128.load32_splat(weight, 8);
      c0 = multiplyAdd(weightC, vector0, c0);
      c1 = multiplyAdd(weightC, vector1, c1);
      c2 = multiplyAdd(weightC, vector2, c2);
      c3 = multiplyAdd(weightC, vector3, c3);
      const weightD = v128.load32_splat(weight, 12);
      d0 = multiplyAdd(weightD, vector0, d0);
      d1 = multiplyAdd(weightD, vector1, d1);
      d2 = multiplyAdd(weightD, vector2, d2);
      d3 = multiplyAdd(weightD, vector3, d3);
      value += tokenBytes;
    }
    const firstTwo = v128.or(together(a0, a2, a1, a3), together(b0, b2, b1, b3));
    const lastTwo = v128.or(together(c0, c2, c1, c3), together(d0, d2, d1, d3));
    v128.store(sums, v128.or(a0, v128.or(firstTwo, lastTwo)));
    v128.store(sums, a1, 16);
    v128.store(sums, a2, 128);
    v128.store(sums, a3, 144);
    v128.store(sums, b0, 32);
    v128.store(sums, b1, 48);
    v128.store(sums, b2, 160);
    v128.store(sums, b3, 176);
    v128.store(sums, c0, 64);
    v128.store(sums, c1, 80);
    v128.store(sums, c2, 192);
    v128.store(sums, c3, 208);
    v128.store(sums, d0, 96);
    v128.store(sums, d1, 112);
    v128.store(sums, d2, 224);
    v128.store(sums, d3, 240);
    sums += 256;
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
    const nothing = v128.or(together(a0, a2, a1, a3), together(b0, b2, b1, b3));
    v128.store(sums, v128.or(a0, nothing));
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
    v128.store(sums, v128.or(sum0, together(sum0, sum2, sum1, sum3)));
    v128.store(sums, sum1, 16);
    v128.store(sums, sum2, 32);
    v128.store(sums, sum3, 48);
    sums += 64;
  }
}
