import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reducedPlacement } from '../replacement/loss.ts';
import { checkLayout, checkPlacement, type Layout, type PlacedInstance } from '../scheduler/layout.ts';
import { rePlace } from './incremental.ts';
import { staticPlacement } from './placement.ts';
import { seededRandom } from './seeded-random.ts';
import { coveredExperts, coverSpareSlots, failureDomains } from './spare-slots.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from './trace-generator.ts';
import { placeByTrace, QUICK_EFFORT } from './traced-placement.ts';

/** Instances of hosts in any order, each expert somewhere, some on several, and free slots. */
const anyProblem = fc
  .record({
    experts: fc.integer({ min: 1, max: 12 }),
    hostOf: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 6 }),
    free: fc.nat({ max: 4 }),
    seed: fc.integer(),
  })
  .map(({ experts, hostOf, free, seed }) => {
    const random = seededRandom(seed);
    const instances = hostOf.map((host, id): PlacedInstance => ({ id, host: `h${host}` }));
    const slots = instances.map(() => [] as number[]);
    for (let expert = 0; expert < experts; expert += 1) {
      const only = Math.floor(random() * instances.length);
      for (const { id } of instances) if (id === only || random() < 0.2) slots[id].push(expert);
    }
    const capacity = Math.max(...slots.map((held) => held.length)) + (free % 3);
    const layout: Layout = { instances: instances.length, capacity, slots };
    const loads = Array.from({ length: experts }, () => Math.floor(random() * 5));
    return { layout, loads, domains: failureDomains(instances) };
  });

const domainsOf = ({ slots }: Layout, expert: number, domains: Int32Array): number[] => [
  ...new Set(slots.flatMap((held, instance) => (held.includes(expert) ? [domains[instance]] : []))),
];

/** How many of `wanting`, given by their only domain, can have a free slot of another each: a largest matching. */
function mostCovered(wanting: readonly number[], freeOf: readonly number[]): number {
  const slots = freeOf.flatMap((count, domain) => new Array<number>(count).fill(domain));
  const taker = new Array<number>(slots.length).fill(-1);
  const canHave = (one: number, asked: Set<number>): boolean =>
    slots.some((domain, slot) => {
      if (domain === wanting[one] || asked.has(slot)) return false;
      asked.add(slot);
      if (taker[slot] >= 0 && !canHave(taker[slot], asked)) return false;
      taker[slot] = one;
      return true;
    });
  return wanting.filter((_, one) => canHave(one, new Set())).length;
}

describe('free slots', () => {
  test('are filled, and what was held stays', () => {
    fc.assert(
      fc.property(anyProblem, ({ layout, loads, domains }) => {
        const filled = coverSpareSlots(layout, loads, domains);
        checkLayout(filled, loads.length);
        for (const [instance, held] of layout.slots.entries()) {
          expect(filled.slots[instance]).toEqual(expect.arrayContaining([...held]));
          expect(filled.slots[instance]).toHaveLength(Math.min(layout.capacity, loads.length));
        }
        expect(coverSpareSlots(layout, loads, domains)).toEqual(filled);
      }),
      { numRuns: 200 },
    );
  });

  test('cover as many experts as can be, and of the hottest ones too', () => {
    fc.assert(
      fc.property(anyProblem, ({ layout, loads, domains }) => {
        const filled = coverSpareSlots(layout, loads, domains);
        const freeOf = new Array<number>(Math.max(...domains) + 1).fill(0);
        for (const [instance, held] of layout.slots.entries()) {
          freeOf[domains[instance]] += layout.capacity - held.length;
        }
        const hottest = [...loads.keys()]
          .filter((expert) => domainsOf(layout, expert, domains).length === 1)
          .sort((a, b) => loads[b] - loads[a] || a - b);
        for (const count of hottest.keys()) {
          const wanting = hottest.slice(0, count + 1);
          const covered = wanting.filter((expert) => domainsOf(filled, expert, domains).length > 1);
          const homes = wanting.map((expert) => domainsOf(layout, expert, domains)[0]);
          expect(covered).toHaveLength(mostCovered(homes, freeOf));
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('on one host, experts are to survive the death of any one instance', () => {
  const instances = [0, 1, 2].map((id) => ({ id, host: 'only' }));
  const options = { version: 1, model: 'm', layers: 1, experts: 6, capacity: 4, instances };
  const domains = failureDomains(instances);
  expect(coveredExperts(staticPlacement({ ...options, spareSlots: 'coverage' }).layers[0], 6, domains)).toBe(
    6,
  );
});

test('with slots for two replicas of each expert, a placement for coverage outlives any host, one for load does not', () => {
  const instances = ['a', 'a', 'b', 'b'].map((host, id) => ({ id, host }));
  const options = { version: 1, model: 'm', layers: 2, experts: 12, capacity: 6, instances };
  const outlives = (spareSlots: 'coverage' | 'load'): boolean[] => {
    const placement = staticPlacement({ ...options, spareSlots });
    checkPlacement(placement);
    return [
      [0, 1],
      [2, 3],
    ].map((lost) => reducedPlacement(placement, lost, 2) !== null);
  };
  expect(outlives('coverage')).toEqual([true, true]);
  expect(outlives('load')).not.toContain(true);
});

test('a placement for traffic covers as many as a static one, and keeps to it while it is improved', () => {
  const shape = { layers: 2, experts: 32, expertsPerToken: 4, expertsPerTopic: 6 };
  const generator = new RoutingGenerator({ ...SKEWED_PROFILE, ...shape }, seededRandom(3));
  const [trace, later] = [generateTrace(generator, 12, 8), generateTrace(generator, 12, 8)];
  const instances = ['a', 'a', 'b', 'b'].map((host, id) => ({ id, host }));
  const options = { version: 1, model: 'm', capacity: 12, instances, spareSlots: 'coverage' } as const;
  const domains = failureDomains(instances);
  const covered = (layouts: readonly Layout[]) =>
    layouts.map((layout) => coveredExperts(layout, 32, domains));
  const placed = placeByTrace({ ...options, trace, seed: 1, effort: QUICK_EFFORT });
  expect(covered(placed.layers)).toEqual([16, 16]);
  const move = { expertBytes: 1, maxMoveBytes: 40, seed: 1 };
  const { placement: next, moves } = rePlace({ placement: placed, trace: later, ...move });
  expect(moves.length).toBeGreaterThan(0);
  expect(next.spareSlots).toBe('coverage');
  expect(covered(next.layers)).toEqual([16, 16]);
  const { placement: other } = rePlace({
    placement: { ...placed, spareSlots: 'load' },
    trace: later,
    ...move,
  });
  expect(Math.min(...covered(other.layers))).toBeLessThan(16);
});
