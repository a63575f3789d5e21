import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exponential } from './exponential.ts';

test('is e^x for every x up to 0', () => {
  fc.assert(
    fc.property(fc.double({ min: -700, max: 0, noNaN: true }), (x) => {
      expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-11);
    }),
    { numRuns: 5_000 },
  );
});

test('is exact at 0 and vanishes far below it', () => {
  expect(exponential(0)).toBe(1);
  expect(exponential(-0)).toBe(1);
  expect(exponential(-744)).toBeGreaterThan(0);
  expect(exponential(-746)).toBe(0);
  expect(exponential(Number.NEGATIVE_INFINITY)).toBe(0);
  expect(exponential(Number.NaN)).toBeNaN();
});

test('never falls where x rises', () => {
  let fell = 0;
  let before = 0;
  for (let i = -400_000; i <= 0; i++) {
    const value = exponential(i / 20_000);
    if (value < before) fell++;
    before = value;
  }
  expect(fell).toBe(0);
});
