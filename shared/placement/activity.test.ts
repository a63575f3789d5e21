import { expect, test } from 'vitest';
import { activationLoads, coActivation, sampleActivity } from './activity.ts';
import { seededRandom } from './seeded-random.ts';

test('an expert counts once per batch, however many tokens it gets, and batches of all sizes count alike', () => {
  // Both rows are [0, 1] and [0, 2]: any batch of many tokens activates 0, 1 and 2; any of one token 0 and another.
  const window = Uint16Array.of(0, 1, 0, 2);
  const samples = [
    { tokens: 1, batches: 400 },
    { tokens: 50, batches: 1 },
  ];
  const activity = sampleActivity(window, 2, 4, seededRandom(1), samples);
  expect(activity.batches).toBe(401);
  expect(activity.activated[400]).toBe(3);
  const loads = activationLoads(activity);
  // Half of the weight lies on batches that activate two experts, half on the one that activates three.
  expect(loads[0]).toBeCloseTo(0.5 / 2 + 0.5 / 3, 9);
  expect(loads[1] + loads[2]).toBeCloseTo(0.5 / 2 + (2 * 0.5) / 3, 9);
  expect(loads[1]).toBeCloseTo(loads[2], 1);
  expect(loads[3]).toBe(0);
});

test('co-activation is symmetric, and experts that never share a batch have none', () => {
  const window = Uint16Array.of(0, 1, 2, 3);
  const activity = sampleActivity(window, 2, 4, seededRandom(1), [{ tokens: 1, batches: 100 }]);
  const matrix = coActivation(activity);
  const loads = activationLoads(activity);
  const between = (one: number, other: number): number => matrix[one * 4 + other];
  expect(between(0, 1)).toBeCloseTo(loads[0], 9);
  expect(between(1, 0)).toBe(between(0, 1));
  expect(between(2, 3)).toBeCloseTo(loads[3], 9);
  expect([between(0, 2), between(0, 3), between(1, 2), between(0, 0)]).toEqual([0, 0, 0, 0]);
});

test('a window without rows gives no batches', () => {
  const samples = [{ tokens: 4, batches: 8 }];
  const activity = sampleActivity(new Uint16Array(), 2, 3, seededRandom(1), samples);
  expect(activity.batches).toBe(0);
  expect([...activationLoads(activity)]).toEqual([0, 0, 0]);
});

test('a window that is not made of whole rows is refused', () => {
  expect(() => sampleActivity(new Uint16Array(3), 2, 4, Math.random, [])).toThrow(/3 expert ids/);
});
