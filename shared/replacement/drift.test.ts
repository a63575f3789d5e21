import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { estimateActivation } from '../placement/expected-a-max.ts';
import { staticPlacement } from '../placement/placement.ts';
import { replicaMoves } from '../placement/placement-moves.ts';
import { seededRandom } from '../placement/seeded-random.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from '../placement/trace-generator.ts';
import { checkPlacement, type Placement } from '../scheduler/layout.ts';
import {
  type ActivationCounts,
  activationDrift,
  afterPlan,
  countActivations,
  DRIFT_LIMITS,
  type DriftSituation,
  decideDrift,
  NEVER_PLANNED,
} from './drift.ts';
import { reducedPlacement } from './loss.ts';
import { planForTraffic } from './plan-for-traffic.ts';

const EXPERTS = 32;
const LAYERS = 2;
const { start, end, leastIntervalMs, mostMoves, leastActivations } = DRIFT_LIMITS;
const profile = { ...SKEWED_PROFILE, layers: LAYERS, experts: EXPERTS, expertsPerToken: 4 };
const traceOf = (seed: number) => generateTrace(new RoutingGenerator(profile, seededRandom(seed)), 20, 4);

const inForce: Placement = staticPlacement({
  version: 5,
  model: 'm',
  layers: LAYERS,
  experts: EXPERTS,
  capacity: 14,
  instances: ['a', 'b', 'c'].map((host, id) => ({ id, host })),
});

/** All experts alike, but that the first half takes `share` of the activations. */
const skewed = (share: number, activations = 1e9): ActivationCounts =>
  Array.from({ length: LAYERS }, () =>
    Array.from(
      { length: EXPERTS },
      (_, e) => ((e < EXPERTS / 2 ? share : 1 - share) * activations) / (EXPERTS / 2),
    ),
  );

describe('the drift of the activation distribution', () => {
  test('is 0 for the same one, 1 where no expert is the same, and what is moved in between', () => {
    expect(activationDrift(skewed(0.7), skewed(0.7))).toBe(0);
    expect(activationDrift(skewed(1), skewed(0))).toBeCloseTo(1, 3);
    expect(activationDrift(skewed(0.7), skewed(0.5))).toBeCloseTo(0.2, 3);
    expect(activationDrift(skewed(0.7), null)).toBeCloseTo(0.2, 3);
  });

  test('of two samples of one distribution is next to nothing', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: leastActivations, max: 8 * leastActivations }),
        (seed, activations) => {
          const random = seededRandom(seed);
          const sample = () => {
            const counts = Array.from({ length: EXPERTS }, () => 0);
            for (let i = 0; i < activations; i++) counts[Math.floor(random() ** 2 * EXPERTS)]! += 1;
            return counts;
          };
          expect(activationDrift([sample()], [sample()])).toBeLessThan(end);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('a placement', () => {
  const situation = (overrides: Partial<DriftSituation> = {}): DriftSituation => ({
    nowMs: 1_000_000,
    state: NEVER_PLANNED,
    counts: skewed(0.5),
    inForce,
    ...overrides,
  });
  const settled = afterPlan(situation(), 1, 6);
  const planned: Placement = { ...inForce, version: 6 };
  const later = (share: number, overrides: Partial<DriftSituation> = {}) =>
    situation({
      nowMs: 1_000_000 + leastIntervalMs,
      state: settled,
      inForce: planned,
      counts: skewed(share),
      ...overrides,
    });

  test('is planned anew when the distribution has drifted, and not before', () => {
    expect(decideDrift(later(0.5 + start - 0.01)).plans).toBe(false);
    expect(decideDrift(later(0.5 + start + 0.01))).toMatchObject({
      plans: true,
      reason: 'the activation distribution has drifted by 0.160',
    });
  });

  test('is planned no more often than the interval, and stays due until the drift is well below its start', () => {
    const drifted = decideDrift(later(0.7, { nowMs: 1_000_000 + leastIntervalMs - 1 }));
    expect(drifted.plans).toBe(false);
    const between = 0.5 + (start + end) / 2;
    expect(decideDrift(later(between)).plans).toBe(false);
    expect(decideDrift(later(between, { state: drifted.state })).plans).toBe(true);
    expect(decideDrift(later(0.5 + end - 0.01, { state: drifted.state })).plans).toBe(false);
  });

  test('is planned for the traffic once a plan moves less than it may, and again before', () => {
    const situated = later(0.8);
    const part = afterPlan(situated, mostMoves, 7);
    const next = { nowMs: situated.nowMs + leastIntervalMs, inForce: { ...inForce, version: 7 } };
    expect(decideDrift(later(0.8, { state: part, ...next })).plans).toBe(true);
    const whole = afterPlan(situated, mostMoves - 1, 7);
    expect(decideDrift(later(0.8, { state: whole, ...next })).plans).toBe(false);
    expect(decideDrift(later(0.5, { state: whole, ...next })).plans).toBe(true);
  });

  test('is planned anew for other instances, and where the last plan was given up', () => {
    const reduced = reducedPlacement({ ...planned, version: 7 }, [2], 7) ?? planned;
    expect(decideDrift(later(0.5, { inForce: { ...reduced, version: 7 } }))).toMatchObject({ plans: false });
    const moved = { ...planned, instances: planned.instances.map((one) => ({ ...one, host: 'd' })) };
    expect(decideDrift(later(0.5, { inForce: moved }))).toMatchObject({
      plans: true,
      reason: 'the expert instances in use are others than were planned for',
    });
    expect(decideDrift(later(0.5, { inForce }))).toMatchObject({
      plans: true,
      reason: 'version 6 was planned and given up',
    });
  });

  test('stays while there is too little traffic to tell', () => {
    const few = later(1, { counts: skewed(1, leastActivations - 1) });
    expect(decideDrift(few)).toMatchObject({ plans: false, state: { lookedAtMs: few.nowMs } });
  });
});

describe('a plan for traffic', () => {
  const trace = traceOf(3);
  const aMax = ({ layers }: Placement): number => estimateActivation(layers, trace, 16, 200, 1).meanAMax;

  test('moves no more than it may, to a lower a_max, until nothing is worth a move', () => {
    let held = inForce;
    let last = mostMoves;
    for (let plans = 0; last > 0 && plans < 20; plans++) {
      const { placement, moves } = planForTraffic(held, trace, mostMoves, 1);
      checkPlacement(placement);
      expect(moves).toBe(replicaMoves(held, placement).length);
      expect(moves).toBeLessThanOrEqual(mostMoves);
      held = placement;
      last = moves;
    }
    expect(last).toBe(0);
    expect(aMax(held)).toBeLessThan(aMax(inForce));
    expect(activationDrift(countActivations(trace), null)).toBeGreaterThan(start);
  });

  test('leaves an instance alone that holds nothing', () => {
    const wide = { ...inForce, capacity: EXPERTS };
    const layers = wide.layers.map((layout) => ({ ...layout, capacity: EXPERTS }));
    const [first, ...others] = Array.from({ length: EXPERTS }, (_, e) => e);
    const emptied = {
      ...wide,
      layers: layers.map((layout) => ({ ...layout, slots: [[first!, ...others], [first!], []] })),
    };
    const { placement, moves } = planForTraffic(emptied, trace, mostMoves, 1);
    expect(moves).toBeGreaterThan(0);
    expect(placement.instances).toEqual(inForce.instances);
    expect(placement.layers.map(({ slots }) => slots[2])).toEqual([[], []]);
  });
});
