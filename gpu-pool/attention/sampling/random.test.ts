import fc from 'fast-check';
import { expect, test } from 'vitest';
import { philox2x32, uniform } from './random.ts';

test('agrees with the known answers published with Random123', () => {
  const answer = (low: number, high: number, key: number) => {
    const out = new Uint32Array(2);
    philox2x32(low, high, key, out);
    return [...out];
  };
  expect(answer(0, 0, 0)).toEqual([0xff1dae59, 0x6cd10df2]);
  expect(answer(0xffffffff, 0xffffffff, 0xffffffff)).toEqual([0x2c3f628b, 0xab4fd7ad]);
  expect(answer(0x243f6a88, 0x85a308d3, 0x13198a2e)).toEqual([0xdd7ce038, 0xf62a4c12]);
});

test('is the upper 53 of the 64 bits, as a fraction', () => {
  expect(uniform(0, 0)).toBe(Number(0xff1dae59_6cd10df2n >> 11n) / 2 ** 53);
});

test('lies in [0, 1) and depends on nothing but seed and position', () => {
  const position = fc.oneof(fc.nat(), fc.integer({ min: 2 ** 32, max: Number.MAX_SAFE_INTEGER }));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), position, position, (seed, at, between) => {
      const first = uniform(seed, at);
      uniform(seed ^ 1, between);
      expect(uniform(seed, at)).toBe(first);
      expect(first).toBeGreaterThanOrEqual(0);
      expect(first).toBeLessThan(1);
    }),
  );
});

test('positions beyond 32 bits have draws of their own', () => {
  expect(uniform(1, 2 ** 32)).not.toBe(uniform(1, 0));
});

/** Pearson's statistic for `counts` expected to be equal. */
function chiSquare(counts: readonly number[], draws: number): number {
  const expected = draws / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** 99.9% quantile of the chi-square distribution with 255 degrees of freedom. */
const LIMIT_255 = 330.5;

test('is uniform along the positions of one seed, and along the seeds at one position', () => {
  const draws = 51_200;
  const byPosition = new Array<number>(256).fill(0);
  const bySeed = new Array<number>(256).fill(0);
  for (let i = 0; i < draws; i++) {
    byPosition[Math.floor(uniform(42, i) * 256)]++;
    bySeed[Math.floor(uniform(i, 7) * 256)]++;
  }
  expect(chiSquare(byPosition, draws)).toBeLessThan(LIMIT_255);
  expect(chiSquare(bySeed, draws)).toBeLessThan(LIMIT_255);
});

test('neighbouring positions, and neighbouring seeds, are independent', () => {
  const draws = 51_200;
  const positions = new Array<number>(256).fill(0);
  const seeds = new Array<number>(256).fill(0);
  for (let i = 0; i < draws; i++) {
    positions[Math.floor(uniform(9, i) * 16) * 16 + Math.floor(uniform(9, i + 1) * 16)]++;
    seeds[Math.floor(uniform(i, 3) * 16) * 16 + Math.floor(uniform(i + 1, 3) * 16)]++;
  }
  expect(chiSquare(positions, draws)).toBeLessThan(LIMIT_255);
  expect(chiSquare(seeds, draws)).toBeLessThan(LIMIT_255);
});
