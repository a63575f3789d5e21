import { describe, expect, test } from 'vitest';
import { seededRandom } from '../placement/seeded-random.ts';
import { shareWaitingLonger } from './slot-wait.ts';

/** Sequences of exponential stays with mean 1 that take the first free of `slots`: the share that waited longer than `stays`. */
function simulated(sequences: number, slots: number, stays: number, count: number): number {
  const random = seededRandom(5);
  const exponential = (): number => -Math.log(1 - random());
  const freeAt = new Float64Array(slots);
  let now = 0;
  let late = 0;
  for (let arrival = 0; arrival < count; arrival += 1) {
    now += exponential() / sequences;
    const first = freeAt.indexOf(Math.min(...freeAt));
    const begins = Math.max(now, freeAt[first]!);
    if (begins - now > stays) late += 1;
    freeAt[first] = begins + exponential();
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

  test('one slot is taken for the share of the time that its sequences take', () => {
    expect(shareWaitingLonger(0.3, 1, 0)).toBeCloseTo(0.3, 12);
  });

  test('nobody waits without demand, all do where it is more than the slots', () => {
    expect(shareWaitingLonger(0, 4, 0)).toBe(0);
    expect(shareWaitingLonger(4, 4, 10)).toBe(1);
    expect(shareWaitingLonger(5, 1_000_000, 0)).toBe(0);
  });
});
