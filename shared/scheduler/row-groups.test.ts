import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { AebsScheduler } from './aebs.ts';
import { indexLayout } from './layout-index.ts';
import type { SchedulerLimits } from './limits.ts';
import { anyRoutedStep, type RoutedStep } from './routed-step.fixture.ts';
import { allocateRowGroups, firstPosition, RowGroups, rowGroupBytes } from './row-groups.ts';

const limits: SchedulerLimits = { maxTokens: 32, topK: 8, experts: 24, instances: 7 };
const newRowGroups = () => new RowGroups(limits, allocateRowGroups(limits));

function groupStep(step: RoutedStep, rowGroups: RowGroups): { ids: Int32Array; instanceOf: Int32Array } {
  const scheduler = new AebsScheduler(limits);
  const ids = Int32Array.from(step.routing.flat());
  scheduler.schedule(indexLayout(step.layout, step.experts), ids, step.rows, step.topK);
  rowGroups.group(ids, scheduler.instanceOf, step.rows, step.topK);
  return { ids, instanceOf: scheduler.instanceOf };
}

test('pairs are grouped by expert, experts by instance', () => {
  const rowGroups = newRowGroups();
  // Expert 2 lives on instance 0, experts 0 and 5 on instance 3.
  const instanceOf = Int32Array.of(3, -1, 0, -1, -1, 3);
  rowGroups.group(Int32Array.of(5, 2, 0, 5, 2, 0), instanceOf, 3, 2);
  const { views, groups } = rowGroups;
  expect(groups).toBe(3);
  expect([...views.groupExpert.subarray(0, 3)]).toEqual([2, 0, 5]);
  expect([...views.groupInstance.subarray(0, 3)]).toEqual([0, 3, 3]);
  expect([...views.groupStart.subarray(0, 4)]).toEqual([0, 2, 4, 6]);
  expect([...views.groupPairs.subarray(0, 6)]).toEqual([1, 4, 2, 5, 0, 3]);
  expect([...views.positionOf.subarray(0, 6)]).toEqual([4, 0, 2, 5, 1, 3]);
  expect([...views.instanceStart]).toEqual([0, 1, 1, 1, 3, 3, 3, 3]);
});

test('the grouped order is a permutation of the pairs, each group holding one expert in ascending pairs', () => {
  const rowGroups = newRowGroups();
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const { ids, instanceOf } = groupStep(step, rowGroups);
      const { groupExpert, groupInstance, groupStart, groupPairs, positionOf } = rowGroups.views;
      const order = [...groupPairs.subarray(0, ids.length)];
      expect(order.toSorted((a, b) => a - b)).toEqual([...ids.keys()]);
      expect([...ids.keys()].map((pair) => groupPairs[positionOf[pair]])).toEqual([...ids.keys()]);
      expect(rowGroups.groups).toBe(new Set(ids).size);
      expect(groupStart[rowGroups.groups]).toBe(ids.length);
      for (let group = 0; group < rowGroups.groups; group += 1) {
        const pairs = order.slice(groupStart[group], groupStart[group + 1]);
        expect(pairs.length).toBeGreaterThan(0);
        expect(pairs).toEqual(pairs.toSorted((a, b) => a - b));
        expect(new Set(pairs.map((pair) => ids[pair]))).toEqual(new Set([groupExpert[group]]));
        expect(groupInstance[group]).toBe(instanceOf[groupExpert[group]]);
      }
    }),
  );
});

test('groups ascend by instance and expert, and instanceStart bounds the groups of each instance', () => {
  const rowGroups = newRowGroups();
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      groupStep(step, rowGroups);
      const { groupExpert, groupInstance, instanceStart } = rowGroups.views;
      const keys = Array.from(
        { length: rowGroups.groups },
        (_, group) => groupInstance[group] * 100 + groupExpert[group],
      );
      expect(keys).toEqual(keys.toSorted((a, b) => a - b));
      expect(instanceStart[0]).toBe(0);
      expect(instanceStart[limits.instances]).toBe(rowGroups.groups);
      for (let instance = 0; instance < limits.instances; instance += 1) {
        const own = groupInstance.subarray(instanceStart[instance], instanceStart[instance + 1]);
        expect([...own].every((value) => value === instance)).toBe(true);
      }
    }),
  );
});

test('an expert that is computed by several instances has a group on each', () => {
  const rowGroups = newRowGroups();
  const ids = Int32Array.of(5, 2, 2, 5, 2, 0);
  const instanceOfPair = Int32Array.of(3, 0, 6, 0, 0, 3);
  rowGroups.group(ids, new Int32Array(0), 3, 2, instanceOfPair);
  const { views, groups } = rowGroups;
  expect(groups).toBe(5);
  expect([...views.groupInstance.subarray(0, 5)]).toEqual([0, 0, 3, 3, 6]);
  expect([...views.groupExpert.subarray(0, 5)]).toEqual([2, 5, 0, 5, 2]);
  expect([...views.groupStart.subarray(0, 6)]).toEqual([0, 2, 3, 4, 5, 6]);
  expect([...views.groupPairs.subarray(0, 6)]).toEqual([1, 4, 3, 5, 0, 2]);
  expect([...views.positionOf.subarray(0, 6)]).toEqual([4, 0, 5, 2, 1, 3]);
  expect([...views.instanceStart]).toEqual([0, 2, 2, 2, 4, 4, 4, 5]);
});

test('there is room for every pair in a group of its own', () => {
  const tight: SchedulerLimits = { maxTokens: 3, topK: 1, experts: 2, instances: 3 };
  const rowGroups = new RowGroups(tight, allocateRowGroups(tight));
  rowGroups.group(Int32Array.of(1, 1, 1), new Int32Array(0), 3, 1, Int32Array.of(2, 0, 1));
  expect(rowGroups.groups).toBe(3);
  expect([...rowGroups.views.groupPairs]).toEqual([1, 2, 0]);
  expect([...rowGroups.views.groupStart]).toEqual([0, 1, 2, 3]);
});

test('grouping pair by pair gives the same as grouping by expert where no expert is spread', () => {
  const byExpert = newRowGroups();
  const byPair = newRowGroups();
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const { ids, instanceOf } = groupStep(step, byExpert);
      const instanceOfPair = ids.map((expert) => instanceOf[expert]);
      byPair.group(ids, instanceOf, step.rows, step.topK, instanceOfPair);
      const used = (rowGroups: RowGroups) => ({
        instanceStart: rowGroups.views.instanceStart,
        groupExpert: rowGroups.views.groupExpert.subarray(0, rowGroups.groups),
        groupInstance: rowGroups.views.groupInstance.subarray(0, rowGroups.groups),
        groupStart: rowGroups.views.groupStart.subarray(0, rowGroups.groups + 1),
        groupPairs: rowGroups.views.groupPairs.subarray(0, ids.length),
        positionOf: rowGroups.views.positionOf.subarray(0, ids.length),
      });
      expect(used(byPair)).toEqual(used(byExpert));
    }),
  );
});

test('the position of a pair tells which instances it is computed by', () => {
  const rowGroups = newRowGroups();
  fc.assert(
    fc.property(anyRoutedStep, fc.nat({ max: 6 }), fc.nat({ max: 6 }), (step, one, other) => {
      const { ids, instanceOf } = groupStep(step, rowGroups);
      const [first, last] = [Math.min(one, other), Math.max(one, other)];
      const from = firstPosition(rowGroups.views, first);
      const to = firstPosition(rowGroups.views, last + 1);
      for (const [pair, expert] of ids.entries()) {
        const position = rowGroups.views.positionOf[pair];
        const instance = instanceOf[expert];
        expect(position >= from && position < to).toBe(instance >= first && instance <= last);
      }
      expect(firstPosition(rowGroups.views, limits.instances)).toBe(ids.length);
    }),
  );
});

test('another thread that holds only the shared buffer reads the groups', () => {
  const offset = 64;
  const buffer = new SharedArrayBuffer(offset + rowGroupBytes(limits));
  const views = allocateRowGroups(limits, buffer, offset);
  new RowGroups(limits, views).group(Int32Array.of(4, 1), Int32Array.of(-1, 2, -1, -1, 2), 1, 2);
  expect(views.instanceStart.byteOffset).toBe(offset);
  expect(views.positionOf.byteOffset + views.positionOf.byteLength).toBe(buffer.byteLength);
  const seen = new Int32Array(buffer, views.groupPairs.byteOffset, 2);
  expect([...seen]).toEqual([1, 0]);
});

test.each([
  ['an id out of range', [24, 0], 1, 2, /row 0, slot 0 names expert 24/],
  ['a negative id', [0, -1], 1, 2, /row 0, slot 1 names expert -1/],
  ['an expert that was not scheduled', [0, 1], 1, 2, /gives expert 1 to instance -1/],
  ['an expert that is not in instanceOf', [0, 5], 1, 2, /gives expert 5 to instance undefined/],
  ['too many rows', [0], 33, 1, /rows is 33/],
])('%s is refused', (_, ids, rows, topK, message) => {
  const group = () => newRowGroups().group(Int32Array.from(ids), Int32Array.of(0, -1), rows, topK);
  expect(group).toThrow(JanusError);
  expect(group).toThrow(message);
});

test.each([
  ['an instance out of range', [0, 1], [0, 7], /row 0, slot 1 to instance 7; schedule/],
  ['a negative instance', [0, 1], [-1, 0], /row 0, slot 0 to instance -1/],
  ['too few instances', [0, 1], [0], /instanceOfPair has 1 entries; 2 pairs/],
  ['an id out of range', [0, 24], [0, 0], /row 0, slot 1 names expert 24/],
  ['a negative id', [-1, 0], [0, 0], /row 0, slot 0 names expert -1/],
])('%s is refused pair by pair', (_, ids, instances, message) => {
  const instanceOfPair = Int32Array.from(instances);
  const group = () => newRowGroups().group(Int32Array.from(ids), Int32Array.of(0, 0), 1, 2, instanceOfPair);
  expect(group).toThrow(JanusError);
  expect(group).toThrow(message);
});

test('a view that is too short for the limits is refused', () => {
  const views = { ...allocateRowGroups(limits), groupStart: new Int32Array(3) };
  expect(() => new RowGroups(limits, views)).toThrow(/groupStart has 3 entries; the limits need 169/);
});
