import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { AebsScheduler, NOT_ACTIVATED } from './aebs.ts';
import type { Layout } from './layout.ts';
import { indexLayout } from './layout-index.ts';
import { anyRoutedStep, type RoutedStep } from './routed-step.fixture.ts';
import file from './vectors/aebs.json' with { type: 'json' };

const schedulerFor = (experts: number, instances: number) =>
  new AebsScheduler({ maxTokens: 64, topK: 8, experts, instances });

function run(step: RoutedStep, routing = step.routing): AebsScheduler {
  const scheduler = schedulerFor(step.experts, step.layout.instances);
  const index = indexLayout(step.layout, step.experts);
  scheduler.schedule(index, Int32Array.from(routing.flat()), step.rows, step.topK);
  return scheduler;
}

const hostsOf = (layout: Layout, expert: number): number[] =>
  [...layout.slots.keys()].filter((instance) => layout.slots[instance].includes(expert));

/** The four steps as they are written down, with none of the tricks. */
function plainAebs({ layout, routing }: RoutedStep): { choice: Map<number, number>; load: number[] } {
  const load = layout.slots.map(() => 0);
  const choice = new Map<number, number>();
  const activated = [...new Set(routing.flat())].map((expert) => ({
    expert,
    hosts: hostsOf(layout, expert),
  }));
  activated.sort((a, b) => a.hosts.length - b.hosts.length || a.expert - b.expert);
  for (const { expert, hosts } of activated) {
    const least = Math.min(...hosts.map((host) => load[host]));
    const chosen = hosts.find((host) => load[host] === least) as number;
    choice.set(expert, chosen);
    load[chosen] += 1;
  }
  return { choice, load };
}

test.each(file.vectors)('vector: $name', ({ instances, hosts, activated, assignment, load }) => {
  const held = Object.entries(hosts as Record<string, number[]>);
  const experts = Math.max(...held.map(([expert]) => Number(expert))) + 1;
  const slots = Array.from({ length: instances }, (_, instance) =>
    held.filter(([, at]) => at.includes(instance)).map(([expert]) => Number(expert)),
  );
  const index = indexLayout({ instances, capacity: experts, slots }, experts);
  const scheduler = schedulerFor(experts, instances);
  scheduler.schedule(index, Int32Array.from(activated), activated.length, 1);

  const chosen = [...scheduler.instanceOf.entries()].filter(([, instance]) => instance !== NOT_ACTIVATED);
  expect(Object.fromEntries(chosen)).toEqual(assignment);
  expect([...scheduler.load]).toEqual(load);
  expect(scheduler.aMax).toBe(Math.max(...load));
  expect(scheduler.activated).toBe(activated.length);
});

test('the assignment is the one that the written algorithm gives', () => {
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const scheduler = run(step);
      const { choice, load } = plainAebs(step);
      for (let expert = 0; expert < step.experts; expert += 1) {
        expect(scheduler.instanceOf[expert]).toBe(choice.get(expert) ?? NOT_ACTIVATED);
      }
      expect([...scheduler.load]).toEqual(load);
    }),
  );
});

test('every activated expert goes to an instance that holds it', () => {
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const { instanceOf } = run(step);
      for (const expert of step.routing.flat()) {
        expect(hostsOf(step.layout, expert)).toContain(instanceOf[expert]);
      }
    }),
  );
});

test('a_max is the largest load and never below what any scheduler must pay', () => {
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const { aMax, load, activated } = run(step);
      const distinct = [...new Set(step.routing.flat())];
      const singletons = distinct
        .map((expert) => hostsOf(step.layout, expert))
        .filter((at) => at.length === 1);
      const bound = step.layout.slots.map(
        (_, instance) => singletons.filter(([at]) => at === instance).length,
      );
      expect(activated).toBe(distinct.length);
      expect(load.reduce((sum, value) => sum + value, 0)).toBe(activated);
      expect(aMax).toBe(Math.max(...load));
      expect(aMax).toBeGreaterThanOrEqual(Math.ceil(activated / step.layout.instances));
      expect(aMax).toBeGreaterThanOrEqual(Math.max(...bound));
    }),
  );
});

test('the order of tokens does not matter', () => {
  const shuffled = anyRoutedStep.chain((step) =>
    fc
      .shuffledSubarray([...step.routing], { minLength: step.rows, maxLength: step.rows })
      .map((routing) => ({ step, routing })),
  );
  fc.assert(
    fc.property(shuffled, ({ step, routing }) => {
      expect(run(step, routing).instanceOf).toEqual(run(step).instanceOf);
    }),
  );
});

test('a scheduler that was used before gives the same as a new one, also for a smaller layout', () => {
  fc.assert(
    fc.property(anyRoutedStep, anyRoutedStep, (before, step) => {
      const used = schedulerFor(24, 7);
      for (const { layout, experts, routing, rows, topK } of [before, step]) {
        used.schedule(indexLayout(layout, experts), Int32Array.from(routing.flat()), rows, topK);
      }
      const fresh = run(step);
      expect([...used.instanceOf.subarray(0, step.experts)]).toEqual([...fresh.instanceOf]);
      expect([...used.load.subarray(0, step.layout.instances)]).toEqual([...fresh.load]);
      expect([used.activated, used.aMax]).toEqual([fresh.activated, fresh.aMax]);
    }),
  );
});

test('only the first rows × topK ids count', () => {
  const index = indexLayout({ instances: 2, capacity: 2, slots: [[0, 1], [2]] }, 3);
  const scheduler = schedulerFor(3, 2);
  scheduler.schedule(index, Int32Array.of(2, 0, 1, 99), 1, 2);
  expect([...scheduler.instanceOf]).toEqual([0, NOT_ACTIVATED, 1]);
});

test.each([
  ['an id beyond the experts', [0, 3], 1, 2, /row 0, slot 1 names expert 3; ids go from 0 to 2/],
  ['a negative id', [0, 1, -1, 1], 2, 2, /row 1, slot 0 names expert -1/],
  ['an expert without a replica', [0, 1], 1, 2, /expert 1 is activated but has no replica/],
  ['too few ids', [0, 2], 2, 2, /expertIds has 2 entries; 2 rows × top-2 need 4/],
  ['too many rows', [0, 2], 65, 1, /rows is 65; one layer step takes 0 to 64/],
  ['too large a topK', [0, 2], 1, 9, /topK is 9/],
])('%s is refused', (_, ids, rows, topK, message) => {
  const index = indexLayout({ instances: 2, capacity: 2, slots: [[0], [2]] }, 3);
  const schedule = () => schedulerFor(3, 2).schedule(index, Int32Array.from(ids), rows, topK);
  expect(schedule).toThrow(JanusError);
  expect(schedule).toThrow(message);
});

test('a layout that is larger than the scheduler, and limits that are no counts, are refused', () => {
  const index = indexLayout({ instances: 2, capacity: 2, slots: [[0, 1], [2]] }, 3);
  expect(() => schedulerFor(2, 2).schedule(index, Int32Array.of(0), 1, 1)).toThrow(
    /3 experts on 2 instances/,
  );
  expect(() => schedulerFor(3, 1).schedule(index, Int32Array.of(0), 1, 1)).toThrow(JanusError);
  expect(() => schedulerFor(0, 1)).toThrow(/limit experts is 0/);
});
