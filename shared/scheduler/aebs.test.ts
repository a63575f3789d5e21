import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AebsScheduler } from './aebs.ts';
import { indexLayout } from './layout-index.ts';
import { anyRoutedStep, hostsOf, type RoutedStep, scheduleStep, stepLimits } from './routed-step.fixture.ts';
import { NOT_ACTIVATED } from './scheduler.ts';
import file from './vectors/aebs.json' with { type: 'json' };

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
  const scheduler = new AebsScheduler({ maxTokens: 64, topK: 8, experts, instances });
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
      const scheduler = scheduleStep(new AebsScheduler(stepLimits), step);
      const { choice, load } = plainAebs(step);
      for (let expert = 0; expert < step.experts; expert += 1) {
        expect(scheduler.instanceOf[expert]).toBe(choice.get(expert) ?? NOT_ACTIVATED);
      }
      expect([...scheduler.load.subarray(0, load.length)]).toEqual(load);
    }),
  );
});
