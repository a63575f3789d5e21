import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomLayout, uniformRouting } from '../../test/support/scheduler/synthetic-steps.ts';
import { seededRandom } from '../placement/seeded-random.ts';
import { createScheduler } from './create-scheduler.ts';
import { indexLayout } from './layout-index.ts';
import { OptimalScheduler } from './optimal.ts';
import {
  anyRoutedStep,
  hostsOf,
  idsOf,
  type RoutedStep,
  routedStepWithin,
  scheduleStep,
  stepLimits,
} from './routed-step.fixture.ts';
import { SCHEDULER_NAMES, type SchedulerName } from './scheduling.ts';

const RANDOM_LAYOUTS = 2_000;
const SEED = 20;

/** The least a_max, by trying every choice. */
function leastAMax({ layout, routing }: RoutedStep): number {
  const choices = [...new Set(routing.flat())].map((expert) => hostsOf(layout, expert));
  const load = layout.slots.map(() => 0);
  const best = (position: number): number => {
    if (position === choices.length) return Math.max(...load);
    let least = Number.POSITIVE_INFINITY;
    for (const instance of choices[position]) {
      load[instance] += 1;
      least = Math.min(least, best(position + 1));
      load[instance] -= 1;
    }
    return least;
  };
  return best(0);
}

test('a_max is the least that any choice reaches', () => {
  const smallStep = routedStepWithin({ experts: 7, instances: 4, topK: 4, rows: 6 });
  fc.assert(
    fc.property(smallStep, (step) => {
      expect(scheduleStep(new OptimalScheduler(stepLimits), step).aMax).toBe(leastAMax(step));
    }),
    { numRuns: 300 },
  );
});

test('a chain of moves is found where no single move helps', () => {
  // AEBS puts experts 0, 1 and 2 on instances 0, 1 and 2, and then has only 0 and 1 to choose from for expert 3. Instance 3
  // becomes of use only if 2, 1 and one of the experts on instance 0 all move on by one.
  const slots = [[0, 3], [0, 1, 3], [1, 2], [2]];
  const index = indexLayout({ instances: 4, capacity: 3, slots }, 4);
  const ids = Int32Array.of(0, 1, 2, 3);
  const aMaxOf = (name: SchedulerName): number => {
    const scheduler = createScheduler(name, stepLimits);
    scheduler.schedule(index, ids, 4, 1);
    return scheduler.aMax;
  };
  expect(aMaxOf('aebs')).toBe(2);
  expect(aMaxOf('optimal')).toBe(1);
});

test('no scheduler has a lower a_max', () => {
  fc.assert(
    fc.property(anyRoutedStep, (step) => {
      const optimum = scheduleStep(new OptimalScheduler(stepLimits), step).aMax;
      for (const name of SCHEDULER_NAMES) {
        const options = { seed: idsOf(step).length, costPerRow: 0.5 };
        const { aMax } = scheduleStep(createScheduler(name, stepLimits, options), step);
        expect(aMax).toBeGreaterThanOrEqual(optimum);
      }
    }),
  );
});

test('on random layouts AEBS is within 10% of the optimum on average, and every baseline is worse than AEBS', () => {
  const random = seededRandom(SEED);
  const limits = { maxTokens: 64, topK: 8, experts: 160, instances: 16 };
  const schedulers = SCHEDULER_NAMES.map((name) => createScheduler(name, limits, { costPerRow: 0.1 }));
  const total = Object.fromEntries(SCHEDULER_NAMES.map((name) => [name, 0]));
  for (let sample = 0; sample < RANDOM_LAYOUTS; sample += 1) {
    const instances = 2 + Math.floor(random() * 15);
    const experts = 8 + Math.floor(random() * 153);
    const layout = randomLayout(experts, instances, Math.floor(random() * experts), random);
    const tokens = 1 + Math.floor(random() * 64);
    const topK = 1 + Math.floor(random() * 8);
    const ids = uniformRouting(tokens, topK, experts, random);
    const index = indexLayout(layout, experts);
    for (const scheduler of schedulers) {
      scheduler.schedule(index, ids, tokens, topK);
      total[scheduler.name] += scheduler.aMax;
    }
  }
  expect(total.aebs).toBeGreaterThanOrEqual(total.optimal);
  expect(total.aebs).toBeLessThanOrEqual(total.optimal * 1.1);
  for (const baseline of ['random', 'token-balanced', 'eplb']) {
    expect(total[baseline]).toBeGreaterThan(total.aebs);
  }
});
