import { expect, it } from 'vitest';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { arrivalsOf, type Day, peakOf, rateAt } from './day.ts';

const DAY: Day = { durationMs: 600_000, peakRate: 30, peakOverLeast: 7.5, answerTokens: [32, 96] };

it('a day has its peak in the middle, so many times the night', () => {
  expect(rateAt(DAY, 300_000)).toBeCloseTo(30, 9);
  expect(rateAt(DAY, 0)).toBeCloseTo(4, 9);
  expect(rateAt(DAY, 600_000)).toBeCloseTo(4, 9);
});

it('requests come at that rate, in order, and the same each time', () => {
  const arrivals = arrivalsOf(DAY, seededRandom(3));
  expect(arrivalsOf(DAY, seededRandom(3))).toEqual(arrivals);
  const within = (fromMs: number, untilMs: number) =>
    arrivals.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs).length / ((untilMs - fromMs) / 1_000);
  expect(within(280_000, 320_000)).toBeCloseTo(30, -1);
  expect(within(0, 40_000)).toBeLessThan(6);
  expect(arrivals.every(({ atMs }, i) => i === 0 || atMs >= arrivals[i - 1]!.atMs)).toBe(true);
  const peak = peakOf(DAY, arrivals, 0.1);
  expect(peak.length / 60).toBeCloseTo(30, -1);
  const times = peak.map(({ atMs }) => atMs);
  expect(Math.min(...times)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...times)).toBeLessThan(60_000);
  const tokens = arrivals.map(({ answerTokens }) => answerTokens);
  expect([Math.min(...tokens), Math.max(...tokens)]).toEqual([32, 96]);
});
