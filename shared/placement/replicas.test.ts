import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { replicaCounts } from './replicas.ts';

test('further slots go to the expert with the largest load per replica', () => {
  // 8 slots for 4 experts: 90 → 45 → 30, then 40 → 20, then 30 → 22.5.
  expect([...replicaCounts([90, 40, 10, 10], 4, 2)]).toEqual([4, 2, 1, 1]);
});

test('ties go to the lowest expert id', () => {
  expect([...replicaCounts([5, 5, 5], 5, 1)]).toEqual([2, 2, 1]);
});

test('an expert has at most one replica per instance, and slots beyond that stay empty', () => {
  expect([...replicaCounts([1000, 1, 0], 2, 2)]).toEqual([2, 1, 1]);
  expect([...replicaCounts([7, 1], 3, 10)]).toEqual([3, 3]);
});

test('without any activations all experts count the same', () => {
  expect([...replicaCounts(new Float64Array(4), 3, 2)]).toEqual([2, 2, 1, 1]);
});

test('all slots are used up to the bounds, and no replica would have been better spent elsewhere', () => {
  const problem = fc
    .record({ instances: fc.integer({ min: 1, max: 8 }), capacity: fc.integer({ min: 1, max: 8 }) })
    .chain(({ instances, capacity }) =>
      fc
        .array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: instances * capacity })
        .map((loads) => ({ instances, capacity, loads })),
    );
  fc.assert(
    fc.property(problem, ({ instances, capacity, loads }) => {
      const counts = [...replicaCounts(loads, instances, capacity)];
      expect(counts.every((count) => count >= 1 && count <= instances)).toBe(true);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(
        Math.min(instances * capacity, instances * loads.length),
      );
      const stillWanting = loads.map((load, expert) =>
        counts[expert] < instances ? load / counts[expert] : 0,
      );
      const reasons = loads.map((load, expert) =>
        counts[expert] > 1 ? load / (counts[expert] - 1) : Number.POSITIVE_INFINITY,
      );
      expect(Math.min(...reasons)).toBeGreaterThanOrEqual(Math.max(...stillWanting));
    }),
  );
});

test('too few slots are refused with the numbers and two ways out', () => {
  const allocate = () => replicaCounts(new Float64Array(160), 4, 12);
  expect(allocate).toThrow(JanusError);
  expect(allocate).toThrow(
    '4 expert instances × capacity 12 = 48 slots cannot hold 160 experts; run at least 14 instances or raise the ' +
      'capacity to at least 40',
  );
});

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('a load of %d is refused', (load) => {
  expect(() => replicaCounts([1, load], 2, 2)).toThrow(/loads\[1\] is/);
});

test('a pool without instances or slots is refused', () => {
  expect(() => replicaCounts([1], 0, 2)).toThrow(/instances is 0/);
  expect(() => replicaCounts([1], 2, 1.5)).toThrow(/capacity 1.5/);
});
