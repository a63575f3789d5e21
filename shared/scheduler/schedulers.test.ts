import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { createScheduler } from './create-scheduler.ts';
import { indexLayout } from './layout-index.ts';
import {
  anyRoutedStep,
  anyStepTwice,
  hostsOf,
  idsOf,
  type RoutedStep,
  scheduleStep,
  stepLimits,
} from './routed-step.fixture.ts';
import { allocateRowGroups, RowGroups } from './row-groups.ts';
import { NOT_ACTIVATED, type Scheduler, SPREAD } from './scheduler.ts';
import { SCHEDULER_NAMES, type SchedulerName } from './scheduling.ts';

/** Rows that cost about as much as weights make `aebs-cost` split experts in a good part of the steps. */
const options = { seed: 7, costPerExpert: 1, costPerRow: 0.7 };
const create = (name: SchedulerName): Scheduler => createScheduler(name, stepLimits, options);

/** [rows · topK]: the instance of each pair. */
const instancesOf = (scheduler: Scheduler, step: RoutedStep): number[] =>
  [...idsOf(step)].map((expert, pair) => scheduler.instanceOfPair?.[pair] ?? scheduler.instanceOf[expert]);

/** The experts that each instance computes. */
function expertsOn(scheduler: Scheduler, step: RoutedStep): Set<number>[] {
  const experts = Array.from({ length: stepLimits.instances }, () => new Set<number>());
  const ids = idsOf(step);
  for (const [pair, instance] of instancesOf(scheduler, step).entries()) experts[instance].add(ids[pair]);
  return experts;
}

const outputs = (scheduler: Scheduler, step: RoutedStep) => ({
  instances: instancesOf(scheduler, step),
  instanceOf: [...scheduler.instanceOf.subarray(0, step.experts)],
  load: [...scheduler.load],
  activated: scheduler.activated,
  aMax: scheduler.aMax,
});

describe.each(SCHEDULER_NAMES)('%s', (name) => {
  test('is what it is called', () => {
    expect(create(name).name).toBe(name);
  });

  test('gives every pair to an instance that holds its expert', () => {
    fc.assert(
      fc.property(anyRoutedStep, (step) => {
        const ids = idsOf(step);
        for (const [pair, instance] of instancesOf(scheduleStep(create(name), step), step).entries()) {
          expect(hostsOf(step.layout, ids[pair])).toContain(instance);
        }
      }),
    );
  });

  test('counts the experts that each instance computes', () => {
    fc.assert(
      fc.property(anyRoutedStep, (step) => {
        const scheduler = scheduleStep(create(name), step);
        const load = expertsOn(scheduler, step).map((experts) => experts.size);
        expect([...scheduler.load]).toEqual(load);
        expect(scheduler.aMax).toBe(Math.max(...load));
        expect(scheduler.activated).toBe(new Set(idsOf(step)).size);
      }),
    );
  });

  test('names the instance of an expert, or says that it is spread or not activated', () => {
    fc.assert(
      fc.property(anyRoutedStep, (step) => {
        const scheduler = scheduleStep(create(name), step);
        const experts = expertsOn(scheduler, step);
        for (let expert = 0; expert < step.experts; expert += 1) {
          const on = [...experts.keys()].filter((instance) => experts[instance].has(expert));
          const expected = on.length > 1 ? SPREAD : (on[0] ?? NOT_ACTIVATED);
          expect(scheduler.instanceOf[expert]).toBe(expected);
        }
        expect(scheduler.instanceOfPair !== undefined).toBe(scheduler.instanceOf.includes(SPREAD));
      }),
    );
  });

  test('never has an a_max below what any scheduler must pay', () => {
    fc.assert(
      fc.property(anyRoutedStep, (step) => {
        const { aMax, activated } = scheduleStep(create(name), step);
        const homes = [...new Set(idsOf(step))].map((expert) => hostsOf(step.layout, expert));
        const bound = step.layout.slots.map(
          (_, instance) => homes.filter((hosts) => hosts.length === 1 && hosts[0] === instance).length,
        );
        expect(aMax).toBeGreaterThanOrEqual(Math.ceil(activated / step.layout.instances));
        expect(aMax).toBeGreaterThanOrEqual(Math.max(...bound));
      }),
    );
  });

  test('reaches the same result on two hosts, whatever each did before', () => {
    fc.assert(
      fc.property(anyRoutedStep, anyRoutedStep, (before, step) => {
        const used = scheduleStep(create(name), before);
        const expected = outputs(scheduleStep(create(name), step), step);
        expect(outputs(scheduleStep(used, step), step)).toEqual(expected);
        expect(outputs(scheduleStep(used, step), step)).toEqual(expected);
      }),
    );
  });

  test('is grouped by the instances that it chose', () => {
    const rowGroups = new RowGroups(stepLimits, allocateRowGroups(stepLimits));
    fc.assert(
      fc.property(anyRoutedStep, (step) => {
        const scheduler = scheduleStep(create(name), step);
        const { rows, topK } = step;
        rowGroups.group(idsOf(step), scheduler.instanceOf, rows, topK, scheduler.instanceOfPair);
        const { groupInstance, groupStart, groupPairs, instanceStart } = rowGroups.views;
        const expected = instancesOf(scheduler, step);
        for (let group = 0; group < rowGroups.groups; group += 1) {
          for (const pair of groupPairs.subarray(groupStart[group], groupStart[group + 1])) {
            expect(groupInstance[group]).toBe(expected[pair]);
          }
        }
        for (const [instance, load] of scheduler.load.entries()) {
          expect(instanceStart[instance + 1] - instanceStart[instance]).toBe(load);
        }
      }),
    );
  });

  test('looks at the first rows × topK ids only', () => {
    const index = indexLayout({ instances: 2, capacity: 2, slots: [[0, 1], [2]] }, 3);
    const scheduler = create(name);
    scheduler.schedule(index, Int32Array.of(2, 0, 1, 99), 1, 2);
    expect([...scheduler.instanceOf.subarray(0, 3)]).toEqual([0, NOT_ACTIVATED, 1]);
  });

  test.each([
    ['an id beyond the experts', [0, 3], 1, 2, /row 0, slot 1 names expert 3; ids go from 0 to 2/],
    ['a negative id', [0, 1, -1, 1], 2, 2, /row 1, slot 0 names expert -1/],
    ['the lowest id', [0, -(2 ** 31)], 1, 2, /row 0, slot 1 names expert -2147483648/],
    ['an expert without a replica', [0, 1], 1, 2, /expert 1 is activated but has no replica/],
    ['too few ids', [0, 2], 2, 2, /expertIds has 2 entries; 2 rows × top-2 need 4/],
    ['too many rows', [0, 2], 21, 1, /rows is 21; one layer step takes 0 to 20/],
    ['too large a topK', [0, 2], 1, 9, /topK is 9/],
  ])('refuses %s', (_, ids, rows, topK, message) => {
    const index = indexLayout({ instances: 2, capacity: 2, slots: [[0], [2]] }, 3);
    const schedule = () => create(name).schedule(index, Int32Array.from(ids), rows, topK);
    expect(schedule).toThrow(JanusError);
    expect(schedule).toThrow(message);
  });

  test('refuses a layout that is larger than its limits, and limits that are no counts', () => {
    const index = indexLayout({ instances: 2, capacity: 2, slots: [[0, 1], [2]] }, 3);
    const schedule = (limits: { experts: number; instances: number }) =>
      createScheduler(name, { ...stepLimits, ...limits }).schedule(index, Int32Array.of(0), 1, 1);
    expect(() => schedule({ experts: 2, instances: 2 })).toThrow(/3 experts on 2 instances/);
    expect(() => schedule({ experts: 3, instances: 1 })).toThrow(JanusError);
    expect(() => schedule({ experts: 0, instances: 2 })).toThrow(/limit experts is 0/);
  });
});

test.each(['aebs', 'optimal', 'random', 'aebs-cost'] as const)(
  '%s chooses the same instances for any order of the tokens',
  (name) => {
    fc.assert(
      fc.property(anyStepTwice, ({ step, shuffled }) => {
        const { instanceOf, load } = scheduleStep(create(name), step);
        const again = scheduleStep(create(name), shuffled);
        expect(again.instanceOf).toEqual(instanceOf);
        expect(again.load).toEqual(load);
      }),
    );
  },
);

test('an unknown scheduler is refused with the names that there are', () => {
  const createOther = () => createScheduler('fastest' as SchedulerName, stepLimits);
  expect(createOther).toThrow(JanusError);
  expect(createOther).toThrow(/"fastest" is unknown; choose one of aebs, optimal/);
});
