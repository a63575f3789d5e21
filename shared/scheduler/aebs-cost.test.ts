import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { AebsScheduler } from './aebs.ts';
import { CostScheduler } from './aebs-cost.ts';
import { indexLayout } from './layout-index.ts';
import { anyRoutedStep, idsOf, scheduleStep, stepLimits } from './routed-step.fixture.ts';
import { SPREAD } from './scheduler.ts';

/** One expert on two instances, another on the second alone. */
const shared = indexLayout({ instances: 2, capacity: 2, slots: [[0], [0, 1]] }, 2);

function run(ids: number[], costPerExpert: number, costPerRow: number): CostScheduler {
  const limits = { maxTokens: 100, topK: 1, experts: 2, instances: 2 };
  const scheduler = new CostScheduler(limits, costPerExpert, costPerRow);
  scheduler.schedule(shared, Int32Array.from(ids), ids.length, 1);
  return scheduler;
}

const rowsOfExpert = (count: number): number[] => Array.from({ length: count }, () => 0);

test('is AEBS where rows cost nothing', () => {
  fc.assert(
    fc.property(anyRoutedStep, fc.double({ min: 1e-6, max: 1e6, noNaN: true }), (step, costPerExpert) => {
      const scheduler = scheduleStep(new CostScheduler(stepLimits, costPerExpert, 0), step);
      const aebs = scheduleStep(new AebsScheduler(stepLimits), step);
      expect(scheduler.instanceOf).toEqual(aebs.instanceOf);
      expect(scheduler.instanceOfPair).toBeUndefined();
      expect([scheduler.load, scheduler.aMax, scheduler.activated]).toEqual([
        aebs.load,
        aebs.aMax,
        aebs.activated,
      ]);
    }),
  );
});

test('the cost of an instance is that of its experts and of their rows', () => {
  const costPerExpert = 3;
  const costPerRow = 2;
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const scheduler = scheduleStep(new CostScheduler(stepLimits, costPerExpert, costPerRow), step);
      const ids = idsOf(step);
      const expected = [...scheduler.load].map((experts) => experts * costPerExpert);
      for (const [pair, expert] of ids.entries()) {
        expected[scheduler.instanceOfPair?.[pair] ?? scheduler.instanceOf[expert]] += costPerRow;
      }
      expect([...scheduler.cost]).toEqual(expected);
    }),
  );
});

test('an expert with many rows counts for more than one with few', () => {
  // Experts 0 and 1 have one replica each; expert 2 goes to the instance of the one with fewer rows.
  const index = indexLayout(
    {
      instances: 2,
      capacity: 2,
      slots: [
        [0, 2],
        [1, 2],
      ],
    },
    3,
  );
  const scheduler = new CostScheduler(stepLimits, 10, 1);
  scheduler.schedule(index, Int32Array.of(0, 0, 0, 1, 2), 5, 1);
  expect([...scheduler.instanceOf.subarray(0, 3)]).toEqual([0, 1, 1]);
  expect([...scheduler.cost.subarray(0, 2)]).toEqual([13, 22]);
});

test('an expert whose rows cost more than its weights is split evenly over its replicas, in the order of its pairs', () => {
  // Undivided 10 + 60; split 10 + 30 on each.
  const scheduler = run(rowsOfExpert(60), 10, 1);
  expect(scheduler.instanceOf[0]).toBe(SPREAD);
  expect([...scheduler.cost]).toEqual([40, 40]);
  const first = [...(scheduler.instanceOfPair ?? [])].slice(0, 60);
  expect(first).toEqual([...Array(30).fill(0), ...Array(30).fill(1)]);
});

test('an expert is not split where that takes no more than one reading of the weights off the busiest instance', () => {
  // The even split of 20 rows takes 10 off, which is just what another reading costs; that of 22 takes 11.
  expect(run(rowsOfExpert(20), 10, 1).instanceOfPair).toBeUndefined();
  expect(run(rowsOfExpert(22), 10, 1).instanceOf[0]).toBe(SPREAD);
});

test('an expert moves as a whole where all its rows fit elsewhere', () => {
  // Expert 0 has only instance 2. Expert 1 takes instance 0, where expert 2 with its ten rows then costs less than on 2.
  const index = indexLayout({ instances: 3, capacity: 2, slots: [[1, 2], [1], [0, 2]] }, 3);
  const ids = [8, 2, 10].flatMap((rows, expert) => Array.from({ length: rows }, () => expert));
  const scheduler = new CostScheduler(stepLimits, 1, 1);
  scheduler.schedule(index, Int32Array.from(ids), 20, 1);
  expect([...scheduler.instanceOf.subarray(0, 3)]).toEqual([2, 1, 0]);
  expect([...scheduler.cost.subarray(0, 3)]).toEqual([11, 3, 9]);
});

test('splitting never makes the busiest instance costlier', () => {
  fc.assert(
    fc.property(anyRoutedStep, fc.integer({ min: 0, max: 20 }), (step, costPerExpert) => {
      const split = scheduleStep(new CostScheduler(stepLimits, costPerExpert, 1), step);
      const whole = wholeCosts(step, costPerExpert);
      expect(Math.max(...split.cost)).toBeLessThanOrEqual(Math.max(...whole));
    }),
  );
});

/** Costs after the greedy choice alone, as it is written down. */
function wholeCosts(step: Parameters<typeof idsOf>[0], costPerExpert: number): number[] {
  const index = indexLayout(step.layout, step.experts);
  const ids = [...idsOf(step)];
  const cost = Array.from({ length: stepLimits.instances }, () => 0);
  for (const expert of index.order) {
    const rows = ids.filter((id) => id === expert).length;
    const hosts = [...index.hostInstances.subarray(index.hostOffsets[expert], index.hostOffsets[expert + 1])];
    const least = Math.min(...hosts.map((host) => cost[host]));
    const host = hosts.find((candidate) => cost[candidate] === least) as number;
    if (rows > 0) cost[host] += costPerExpert + rows;
  }
  return cost;
}

test.each([
  [-1, 1, /costPerExpert is -1; give a number that is 0 or more/],
  [1, Number.NaN, /costPerRow is NaN/],
  [Number.POSITIVE_INFINITY, 1, /costPerExpert is Infinity/],
  [0, 0, /costPerExpert and costPerRow are both 0/],
])('coefficients %d and %d are refused', (costPerExpert, costPerRow, message) => {
  const create = () => new CostScheduler(stepLimits, costPerExpert, costPerRow);
  expect(create).toThrow(JanusError);
  expect(create).toThrow(message);
});
