import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkPlacement, type Layout } from '../scheduler/layout.ts';
import { balanceExperts, eplbLayout } from './eplb.ts';
import { estimateActivation } from './expected-a-max.ts';
import { seededRandom } from './seeded-random.ts';
import { ActivationTrace } from './trace.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from './trace-generator.ts';
import { placeByTrace, QUICK_EFFORT, THOROUGH_EFFORT } from './traced-placement.ts';

const INSTANCES = 16;
const CAPACITY = 12;
const BATCH_SIZES = [1, 4, 16, 64, 256, 512];
const LAYERS = 3;

const instancesOf = (count: number) => Array.from({ length: count }, (_, id) => ({ id, host: 'one' }));

const place = (trace: ActivationTrace, effort = THOROUGH_EFFORT) =>
  placeByTrace({
    version: 1,
    model: 'm',
    trace,
    capacity: CAPACITY,
    instances: instancesOf(INSTANCES),
    seed: 1,
    effort,
  });

function eplbLayouts(trace: ActivationTrace): Layout[] {
  const options = { replicas: INSTANCES * CAPACITY, groups: 1, nodes: 1, gpus: INSTANCES };
  return Array.from({ length: trace.shape.layers }, (_, layer) => {
    const tokens = new Array<number>(trace.shape.experts).fill(0);
    for (const expert of trace.window(layer)) tokens[expert] += 1;
    return eplbLayout(balanceExperts(tokens, options), INSTANCES);
  });
}

describe.each([1, 2])('on a skewed, correlated trace (seed %i), judged on the part that follows', (seed) => {
  const generator = new RoutingGenerator({ ...SKEWED_PROFILE, layers: LAYERS }, seededRandom(seed));
  const seen = generateTrace(generator, 32, 8);
  const later = generateTrace(generator, 32, 8);
  const aMaxOf = (layouts: readonly Layout[]): number[] =>
    BATCH_SIZES.map((tokens) => estimateActivation(layouts, later, tokens, 300, 7).meanAMax);
  const eplb = aMaxOf(eplbLayouts(seen));

  test('a_max is no higher than under EPLB at any batch size, and at least 5% lower at 64 tokens', () => {
    const ours = aMaxOf(place(seen).layers);
    for (const [size, aMax] of ours.entries()) expect(aMax).toBeLessThanOrEqual(eplb[size]);
    expect(ours[3]).toBeLessThan(0.95 * eplb[3]);
  });

  test('the quick effort too is no higher than EPLB at any batch size', () => {
    const ours = aMaxOf(place(seen, QUICK_EFFORT).layers);
    for (const [size, aMax] of ours.entries()) expect(aMax).toBeLessThanOrEqual(eplb[size]);
  });
});

test('any trace is placed validly, the same way for the same seed', () => {
  const problem = fc.record({
    experts: fc.integer({ min: 2, max: 12 }),
    instances: fc.integer({ min: 1, max: 4 }),
    spare: fc.nat({ max: 3 }),
    rows: fc.array(fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 11 })), { maxLength: 20 }),
  });
  fc.assert(
    fc.property(problem, ({ experts, instances, spare, rows }) => {
      const trace = new ActivationTrace({ layers: 2, experts, expertsPerToken: 2 }, 16);
      for (const [one, other] of rows) trace.record(0, [one % experts, other % experts], 1);
      const capacity = Math.ceil(experts / instances) + spare;
      const options = { version: 3, model: 'm', trace, capacity, instances: instancesOf(instances), seed: 5 };
      const placement = placeByTrace({ ...options, effort: QUICK_EFFORT });
      checkPlacement(placement);
      expect(placeByTrace({ ...options, effort: QUICK_EFFORT })).toEqual(placement);
    }),
    { numRuns: 60 },
  );
});

test('experts that only ever come together are placed apart', () => {
  const trace = new ActivationTrace({ layers: 1, experts: 4, expertsPerToken: 2 }, 64);
  for (let row = 0; row < 32; row += 1) trace.record(0, row % 2 === 0 ? [0, 1] : [2, 3], 1);
  const [layout] = placeByTrace({
    version: 1,
    model: 'm',
    trace,
    capacity: 2,
    instances: instancesOf(2),
    seed: 1,
  }).layers;
  expect(estimateActivation([layout], trace, 1, 50, 1).meanAMax).toBe(1);
});
