import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { steadyBatch } from './steady-state.ts';

describe('steadyBatch', () => {
  test('is one sequence where one is more than the demand', () => {
    expect(steadyBatch(5, () => 100, 64)).toBe(1);
  });

  test('is null where even the largest batch does not keep up', () => {
    expect(steadyBatch(200, (batch) => 10 * batch, 64)).toBeNull();
  });

  test('satisfies Little’s law: sequences = tokens per second × time per token', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1, max: 200, noNaN: true }),
        fc.double({ min: 0.01, max: 5, noNaN: true }),
        fc.double({ min: 0.1, max: 1_000, noNaN: true }),
        (fixed, perRow, rate) => {
          const tpotMs = (batch: number) => fixed + perRow * batch;
          const batch = steadyBatch(rate, tpotMs, 512);
          const served = (1_000 * 512) / tpotMs(512);
          if (batch === null) {
            expect(served).toBeLessThan(rate);
          } else if (batch === 1) {
            expect(1_000 / tpotMs(1)).toBeGreaterThanOrEqual(rate);
          } else {
            const exact = (rate * fixed) / (1_000 - rate * perRow);
            expect(batch).toBeGreaterThanOrEqual(exact - 1e-6);
            expect(batch - exact).toBeLessThan(0.02);
          }
        },
      ),
    );
  });
});
