import fc from 'fast-check';
import type { Layout } from './layout.ts';
import { indexLayout } from './layout-index.ts';
import type { SchedulerLimits } from './limits.ts';
import type { Scheduler } from './scheduler.ts';

/** A layout and the routing of one layer step under it, for property tests. */
export interface RoutedStep {
  readonly layout: Layout;
  readonly experts: number;
  readonly rows: number;
  readonly topK: number;
  /** [rows][topK], distinct within a row. */
  readonly routing: readonly (readonly number[])[];
}

/** Largest numbers in a generated step. */
interface StepBounds {
  readonly experts: number;
  readonly instances: number;
  readonly topK: number;
  readonly rows: number;
}

/** Limits that every step of `anyRoutedStep` keeps. */
export const stepLimits: SchedulerLimits = { maxTokens: 20, topK: 6, experts: 24, instances: 7 };

/** Any layout in which every expert has a replica, with any routing. */
export const routedStepWithin = (bounds: StepBounds): fc.Arbitrary<RoutedStep> =>
  fc
    .record({
      experts: fc.integer({ min: 1, max: bounds.experts }),
      instances: fc.integer({ min: 1, max: bounds.instances }),
    })
    .chain(({ experts, instances }) =>
      fc.record({
        experts: fc.constant(experts),
        instances: fc.constant(instances),
        hosts: fc.array(
          fc.uniqueArray(fc.nat({ max: instances - 1 }), { minLength: 1, maxLength: instances }),
          { minLength: experts, maxLength: experts },
        ),
        topK: fc.integer({ min: 1, max: Math.min(experts, bounds.topK) }),
      }),
    )
    .chain(({ experts, instances, hosts, topK }) => {
      const slots = Array.from({ length: instances }, (_, instance) =>
        hosts.flatMap((held, expert) => (held.includes(instance) ? [expert] : [])),
      );
      const row = fc.uniqueArray(fc.nat({ max: experts - 1 }), { minLength: topK, maxLength: topK });
      return fc.array(row, { maxLength: bounds.rows }).map((routing) => ({
        layout: { instances, capacity: Math.max(1, ...slots.map((held) => held.length)), slots },
        experts,
        rows: routing.length,
        topK,
        routing,
      }));
    });

/** Any step within `stepLimits`. */
export const anyRoutedStep: fc.Arbitrary<RoutedStep> = routedStepWithin({ ...stepLimits, rows: 20 });

/** A step together with its rows in another order. */
export const anyStepTwice: fc.Arbitrary<{ step: RoutedStep; shuffled: RoutedStep }> = anyRoutedStep.chain(
  (step) =>
    fc
      .shuffledSubarray([...step.routing], { minLength: step.rows, maxLength: step.rows })
      .map((routing) => ({ step, shuffled: { ...step, routing } })),
);

/** [rows · topK]: the ids of a step as schedulers take them. */
export const idsOf = (step: RoutedStep): Int32Array => Int32Array.from(step.routing.flat());

/** Schedules a step, and returns the scheduler. */
export function scheduleStep<S extends Scheduler>(scheduler: S, step: RoutedStep): S {
  scheduler.schedule(indexLayout(step.layout, step.experts), idsOf(step), step.rows, step.topK);
  return scheduler;
}

/** Instances that hold an expert, ascending. */
export const hostsOf = (layout: Layout, expert: number): number[] =>
  [...layout.slots.keys()].filter((instance) => layout.slots[instance].includes(expert));
