import { expect, it } from 'vitest';
import { pairedRatio, slope } from './statistics.ts';
import { takeTurns } from './turns.ts';

it('a ratio is taken round by round, so that a slow round does not show in it', () => {
  // The last round ran at a tenth of the speed; medians of each alone would say 90 / 100.
  expect(pairedRatio([80, 90, 10], [100, 100, 10])).toEqual({ median: 0.9, least: 0.8, most: 1 });
  expect(pairedRatio([50, 60, 3, 55], [100, 120, 6, 110])).toEqual({ median: 0.5, least: 0.5, most: 0.5 });
  expect(() => pairedRatio([1, 2], [1])).toThrow(/2 values.*1 others/);
});

it('a slope is that of the nearest line', () => {
  expect(slope([1_000, 4_000, 7_000], [5, 11, 17])).toBeCloseTo(0.002);
  // Least squares by hand: x around 1 is -1, 0, 1; y is 0, 3, 0.
  expect(slope([0, 1, 2], [0, 3, 0])).toBe(0);
  expect(slope([0, 1, 3], [0, 0, 3])).toBeCloseTo(15 / 14);
  expect(() => slope([2, 2], [1, 5])).toThrow(/no slope/);
});

it('ways take turns in alternating order, after a round that is not kept', async () => {
  const calls: string[] = [];
  const results = await takeTurns(['a', 'b'], 2, async (way, round) => {
    calls.push(`${way}${round}`);
    return round;
  });
  expect(calls).toEqual(['b-1', 'a-1', 'a0', 'b0', 'b1', 'a1']);
  expect([...results]).toEqual([
    ['a', [0, 1]],
    ['b', [0, 1]],
  ]);
});
