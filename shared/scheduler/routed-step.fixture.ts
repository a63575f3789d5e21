import fc from 'fast-check';
import type { Layout } from './layout.ts';

/** A layout and the routing of one layer step under it, for property tests. */
export interface RoutedStep {
  readonly layout: Layout;
  readonly experts: number;
  readonly rows: number;
  readonly topK: number;
  /** [rows][topK], distinct within a row. */
  readonly routing: readonly (readonly number[])[];
}

/** Any layout in which every expert has a replica, with any routing of up to 20 rows. */
export const anyRoutedStep: fc.Arbitrary<RoutedStep> = fc
  .record({ experts: fc.integer({ min: 1, max: 24 }), instances: fc.integer({ min: 1, max: 7 }) })
  .chain(({ experts, instances }) =>
    fc.record({
      experts: fc.constant(experts),
      instances: fc.constant(instances),
      hosts: fc.array(
        fc.uniqueArray(fc.nat({ max: instances - 1 }), { minLength: 1, maxLength: instances }),
        { minLength: experts, maxLength: experts },
      ),
      topK: fc.integer({ min: 1, max: Math.min(experts, 6) }),
    }),
  )
  .chain(({ experts, instances, hosts, topK }) => {
    const slots = Array.from({ length: instances }, (_, instance) =>
      hosts.flatMap((held, expert) => (held.includes(instance) ? [expert] : [])),
    );
    const row = fc.uniqueArray(fc.nat({ max: experts - 1 }), { minLength: topK, maxLength: topK });
    return fc.array(row, { maxLength: 20 }).map((routing) => ({
      layout: { instances, capacity: Math.max(1, ...slots.map((held) => held.length)), slots },
      experts,
      rows: routing.length,
      topK,
      routing,
    }));
  });
