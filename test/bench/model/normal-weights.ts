import { seededRandom } from '../../../shared/placement/seeded-random.ts';

/** Numbers in a table of normal numbers: one for each value of 16 random bits. */
const TABLE_SIZE = 2 ** 16;

/**
 * Random 32-bit numbers, fast enough for billions of weights.
 *
 * Source: xoshiro128** by David Blackman and Sebastiano Vigna (public domain), seeded by mulberry32.
 */
export class Xoshiro128 {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    const random = seededRandom(seed);
    const word = (): number => Math.floor(random() * 2 ** 32) | 0;
    [this.#a, this.#b, this.#c, this.#d] = [word(), word(), word(), word() | 1];
  }

  /** Fills `target`, whose length is even, with the entries of `table` that pairs of 16 random bits name. */
  pick(table: Uint16Array, target: Uint16Array): void {
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let d = this.#d;
    for (let i = 0; i < target.length; i += 2) {
      const scrambled = Math.imul(b, 5);
      const bits = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
      target[i] = table[bits & 0xffff]!;
      target[i + 1] = table[bits >>> 16]!;
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = (d << 11) | (d >>> 21);
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = d;
  }
}

/**
 * A sample of standard normal numbers whose mean is exactly 0, since it holds each number with both signs. Weights are
 * picked from it at random, which takes a nanosecond where computing them takes thirty.
 *
 * Source of the transform: Box and Muller, 1958.
 */
export function normalSample(seed: number): Float32Array {
  const random = seededRandom(seed);
  const numbers = new Float32Array(TABLE_SIZE);
  for (let i = 0; i < TABLE_SIZE; i += 4) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    numbers[i] = radius * Math.cos(angle);
    numbers[i + 1] = -numbers[i]!;
    numbers[i + 2] = radius * Math.sin(angle);
    numbers[i + 3] = -numbers[i + 2]!;
  }
  return numbers;
}

/** `center + deviation · number` of each number, as bf16. */
export function bfloat16Table(sample: Float32Array, center: number, deviation: number): Uint16Array {
  const words = new Uint32Array(sample.map((number) => center + deviation * number).buffer);
  // To the nearest, ties to even.
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}
