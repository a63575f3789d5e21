import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EplbScheduler } from './eplb.ts';
import { indexLayout } from './layout-index.ts';
import { RandomScheduler } from './random.ts';
import { anyRoutedStep, hostsOf, idsOf, scheduleStep, stepLimits } from './routed-step.fixture.ts';
import { SPREAD } from './scheduler.ts';
import { TokenBalancedScheduler } from './token-balanced.ts';

/** Expert 0 on three instances, expert 1 on two, expert 2 on one. */
const index = indexLayout(
  {
    instances: 3,
    capacity: 3,
    slots: [
      [0, 1],
      [0, 2],
      [0, 1],
    ],
  },
  3,
);

test('token-balanced gives all replicas of an expert the same number of pairs, give or take one', () => {
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const { instanceOf, instanceOfPair } = scheduleStep(new TokenBalancedScheduler(stepLimits), step);
      const ids = idsOf(step);
      for (const expert of new Set(ids)) {
        const pairs = [...ids.keys()].filter((pair) => ids[pair] === expert);
        const rows = hostsOf(step.layout, expert).map(
          (host) => pairs.filter((pair) => (instanceOfPair?.[pair] ?? instanceOf[expert]) === host).length,
        );
        expect(Math.max(...rows) - Math.min(...rows)).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test('token-balanced goes round the replicas, beginning at the expert id modulo their number', () => {
  const scheduler = new TokenBalancedScheduler(stepLimits);
  scheduler.schedule(index, Int32Array.of(0, 1, 0, 1, 0, 1, 0, 2), 4, 2);
  expect([...(scheduler.instanceOfPair ?? [])].slice(0, 8)).toEqual([0, 2, 1, 0, 2, 2, 0, 1]);
  expect([...scheduler.instanceOf.subarray(0, 3)]).toEqual([SPREAD, SPREAD, 1]);
});

test('eplb takes the replica whose number is that of the pair modulo the replica count', () => {
  const scheduler = new EplbScheduler(stepLimits);
  scheduler.schedule(index, Int32Array.of(0, 1, 1, 0, 0, 2), 3, 2);
  expect([...(scheduler.instanceOfPair ?? [])].slice(0, 6)).toEqual([0, 2, 0, 0, 1, 1]);
});

test('random uses every replica over many steps, and another seed chooses otherwise', () => {
  const choices = (seed: number): number[] => {
    const scheduler = new RandomScheduler(stepLimits, seed);
    return Array.from({ length: 20 }, (_, step) => {
      scheduler.schedule(index, new Int32Array(step + 1), step + 1, 1);
      return scheduler.instanceOf[0];
    });
  };
  expect(new Set(choices(1))).toEqual(new Set([0, 1, 2]));
  expect(choices(2)).not.toEqual(choices(1));
});

test('random gives each replica its fair share', () => {
  const steps = 3_000;
  const scheduler = new RandomScheduler({ ...stepLimits, maxTokens: steps }, 3);
  const ids = new Int32Array(steps);
  const chosen = [0, 0, 0];
  for (let rows = 1; rows <= steps; rows += 1) {
    scheduler.schedule(index, ids, rows, 1);
    chosen[scheduler.instanceOf[0]] += 1;
  }
  // Six standard deviations of a fair draw.
  for (const count of chosen)
    expect(Math.abs(count - steps / 3)).toBeLessThan(6 * Math.sqrt((steps * 2) / 9));
});
