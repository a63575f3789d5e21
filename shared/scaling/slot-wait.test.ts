import { describe, expect, test } from 'vitest';
import { seededRandom } from '../placement/seeded-random.ts';
import { shareWaitingLonger } from './slot-wait.ts';

const exponential = (random: () => number): number => -Math.log(1 - random());
/** As answers of one half to one and a half times the mean: a coefficient of variation of 1/√12. */
const uniform = (random: () => number): number => 0.5 + random();

/** Sequences that stay for 1 on average and take the first free of `slots`: the share that waited longer than `stays`. */
function simulated(
  sequences: number,
  slots: number,
  stays: number,
  count: number,
  stay: (random: () => number) => number = exponential,
): number {
  const random = seededRandom(5);
  const freeAt = new Float64Array(slots);
  let now = 0;
  let late = 0;
  for (let arrival = 0; arrival < count; arrival += 1) {
    now += exponential(random) / sequences;
    const first = freeAt.indexOf(Math.min(...freeAt));
    const begins = Math.max(now, freeAt[first]!);
    if (begins - now > stays) late += 1;
    freeAt[first] = begins + stay(random);
  }
  return late / count;
}

describe('shareWaitingLonger', () => {
  test.each([
    [0.6, 1, 0],
    [3, 4, 1],
    [9, 12, 0],
    [17, 20, 0.4],
  ])('%f sequences on %i slots, longer than %f stays: as a simulation', (sequences, slots, stays) => {
    const predicted = shareWaitingLonger(sequences, slots, stays);
    expect(predicted).toBeGreaterThan(0.02);
    expect(Math.abs(simulated(sequences, slots, stays, 100_000) / predicted - 1)).toBeLessThan(0.15);
  });

  test.each([
    [3.4, 4, 1],
    [18, 20, 0.2],
    [19, 20, 1],
  ])('stays that vary little: %f sequences on %i slots, longer than %f stays', (sequences, slots, stays) => {
    const variation = Math.sqrt(1 / 12);
    const predicted = shareWaitingLonger(sequences, slots, stays, variation);
    const share = simulated(sequences, slots, stays, 400_000, uniform);
    expect(share).toBeGreaterThan(0.02);
    expect(Math.abs(share / predicted - 1)).toBeLessThan(0.25);
    expect(shareWaitingLonger(sequences, slots, stays)).toBeGreaterThan(1.25 * share);
  });

  test('one slot is taken for the share of the time that its sequences take', () => {
    expect(shareWaitingLonger(0.3, 1, 0)).toBeCloseTo(0.3, 12);
  });

  test('nobody waits without demand, all do where it is more than the slots', () => {
    expect(shareWaitingLonger(0, 4, 0)).toBe(0);
    expect(shareWaitingLonger(4, 4, 10)).toBe(1);
    expect(shareWaitingLonger(5, 1_000_000, 0)).toBe(0);
  });
});
