import { describe, expect, test } from 'vitest';
import { hostRecord } from '../../test/support/gateway/scripted-pool.ts';
import { attentionWork, meanVariation, variationBetween } from './attention-variation.ts';

/** Instances after so many steps each, whose layers took so many milliseconds per step. */
const instancesAfter = (steps: readonly number[], stepMs: readonly number[]) => {
  const host = hostRecord('m', 'host', 'ready');
  return steps.map((count, index) => ({
    ...host.attention[0]!,
    id: `a${index}`,
    steps: count,
    phasesMs: {
      pre: (count * stepMs[index]!) / 2,
      attend: (count * stepMs[index]!) / 2,
      exchange: 99 * count,
    },
  }));
};
const workAfter = (steps: readonly number[], stepMs: readonly number[]) =>
  attentionWork(instancesAfter(steps, stepMs));

describe('variationBetween', () => {
  test('is 0 where all take as long, however many steps each made', () => {
    expect(variationBetween(workAfter([10, 5], [2, 2]), workAfter([30, 10], [2, 2]))).toBeCloseTo(0, 12);
  });

  test('is the standard deviation over the mean of what a step takes, without what it waits for experts', () => {
    // 1, 2 and 3 ms: a deviation of 1 about 2.
    const variation = variationBetween(workAfter([0, 0, 0], [1, 2, 3]), workAfter([10, 20, 5], [1, 2, 3]));
    expect(variation).toBeCloseTo(0.5, 12);
  });

  test('leaves out who is new, idle or started anew, and is null where fewer than two are left', () => {
    const before = workAfter([10, 10, 10], [1, 1, 1]);
    const after = workAfter([20, 10, 5, 40], [1, 1, 1, 9]);
    expect(variationBetween(before, after)).toBeNull();
    expect(variationBetween({}, after)).toBeNull();
  });
});

test('the mean of a window is that of the squares, of the samples that have one', () => {
  expect(meanVariation([0.3, undefined, 0.4])).toBeCloseTo(Math.sqrt(0.125), 12);
  expect(meanVariation([undefined])).toBeNull();
});
