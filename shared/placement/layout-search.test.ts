import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkLayout, type Layout } from '../scheduler/layout.ts';
import { sampleActivity } from './activity.ts';
import { LayoutSearch } from './layout-search.ts';
import { placeReplicas } from './placement.ts';
import { replicaCounts } from './replicas.ts';
import { seededRandom } from './seeded-random.ts';

const SAMPLES = [
  { tokens: 1, batches: 12 },
  { tokens: 3, batches: 12 },
];

/** A layout with, in some cases, free slots, and batches of random routing over its experts. */
const anySearch = fc
  .record({
    experts: fc.integer({ min: 2, max: 14 }),
    instances: fc.integer({ min: 1, max: 4 }),
    spare: fc.nat({ max: 3 }),
    free: fc.nat({ max: 2 }),
    seed: fc.integer(),
  })
  .map(({ experts, instances, spare, free, seed }) => {
    const random = seededRandom(seed);
    const window = Uint16Array.from({ length: 40 }, () => Math.floor(random() * experts));
    const activity = sampleActivity(window, 2, experts, random, SAMPLES);
    const capacity = Math.ceil(experts / instances) + spare;
    const loads = new Float64Array(experts).fill(1);
    const replicas = replicaCounts(loads, instances, capacity);
    const full = placeReplicas({ replicas, loads, instances, capacity });
    const layout: Layout = { ...full, capacity: capacity + free };
    return { layout, activity, random };
  });

test('changes keep the layout valid, and the cost that is kept up to date is that of the layout from scratch', () => {
  fc.assert(
    fc.property(anySearch, ({ layout, activity, random }) => {
      const search = new LayoutSearch(layout, activity);
      for (let trial = 0; trial < 60; trial += 1) {
        const change = search.propose(random);
        if (change === undefined) continue;
        // Bad changes are made too, so that the way leads through all kinds of layouts.
        if (trial % 3 === 0) search.make(change);
        else search.makeIfWorth(change, 0);
        checkLayout(search.layout(), activity.experts);
        expect(search.cost).toBeCloseTo(new LayoutSearch(search.layout(), activity).cost, 9);
      }
    }),
    { numRuns: 100 },
  );
});

test('the benefit of a change is what it then lowers the cost by, and asking changes nothing', () => {
  fc.assert(
    fc.property(anySearch, ({ layout, activity, random }) => {
      const search = new LayoutSearch(layout, activity);
      for (let trial = 0; trial < 20; trial += 1) {
        const change = search.propose(random);
        if (change === undefined) continue;
        const before = search.cost;
        const benefit = search.benefit(change);
        expect(search.layout()).toEqual(new LayoutSearch(search.layout(), activity).layout());
        expect(search.cost).toBe(before);
        if (benefit < 0) continue;
        search.make(change);
        expect(before - search.cost).toBeCloseTo(benefit, 9);
      }
    }),
    { numRuns: 100 },
  );
});
