import { expect, test } from 'vitest';
import { checkPlacement, type Placement } from '../scheduler/layout.ts';
import { estimateActivation } from './expected-a-max.ts';
import { rePlace } from './incremental.ts';
import { staticPlacement } from './placement.ts';
import { alignLayout, replicaMoves } from './placement-moves.ts';
import { seededRandom } from './seeded-random.ts';
import type { ActivationTrace } from './trace.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from './trace-generator.ts';
import { placeByTrace } from './traced-placement.ts';

const EXPERT_BYTES = 1_000;
const LAYERS = 2;
const MOST_ROUNDS = 40;
const instances = Array.from({ length: 8 }, (_, id) => ({ id, host: `host-${id % 2}` }));
const profile = { ...SKEWED_PROFILE, layers: LAYERS, experts: 64, expertsPerTopic: 8 };
const trace = generateTrace(new RoutingGenerator(profile, seededRandom(4)), 24, 8);
const start = staticPlacement({
  version: 7,
  model: 'm',
  layers: LAYERS,
  experts: 64,
  capacity: 10,
  instances,
});
const bounded = (placement: Placement, maxMoveBytes: number, seed = 1) =>
  rePlace({ placement, trace, expertBytes: EXPERT_BYTES, maxMoveBytes, seed });
const aMaxOf = ({ layers }: Placement, of: ActivationTrace = trace): number =>
  [1, 4, 16, 64].reduce((sum, tokens) => sum + estimateActivation(layers, of, tokens, 300, 3).meanAMax, 0);

test.each([0, EXPERT_BYTES - 1])(
  'with a bound of %i bytes the placement in force stays, version and all',
  (bound) => {
    const { placement, moves, movedBytes } = bounded(start, bound);
    expect(placement).toBe(start);
    expect(moves).toEqual([]);
    expect(movedBytes).toBe(0);
  },
);

test.each([1, 2, 5, 20])(
  'with room for %i replicas the bound holds, the result is valid and better',
  (replicas) => {
    const result = bounded(start, (replicas + 0.5) * EXPERT_BYTES);
    checkPlacement(result.placement);
    expect(result.placement.version).toBe(8);
    expect(result.moves.length).toBeGreaterThan(0);
    expect(result.moves.length).toBeLessThanOrEqual(replicas);
    expect(result.movedBytes).toBe(result.moves.length * EXPERT_BYTES);
    expect(result.moves).toEqual(replicaMoves(start, result.placement));
    expect(aMaxOf(result.placement)).toBeLessThan(aMaxOf(start));
  },
);

test('the first replicas that move are worth more each than those of a larger bound', () => {
  const before = aMaxOf(start);
  const few = bounded(start, 4 * EXPERT_BYTES);
  const many = bounded(start, 80 * EXPERT_BYTES);
  const perMove = (result: typeof few): number => (before - aMaxOf(result.placement)) / result.moves.length;
  expect(many.moves.length).toBeGreaterThan(20);
  expect(perMove(few)).toBeGreaterThan(1.5 * perMove(many));
});

test('the same seed gives the same moves', () => {
  expect(bounded(start, 9_000, 5)).toEqual(bounded(start, 9_000, 5));
});

test('applied again and again with a small bound, it comes to rest within 3% of a placement made afresh', () => {
  let settled: Placement = start;
  let rounds = 0;
  for (let next = bounded(settled, 10_000).placement; next !== settled; rounds += 1) {
    if (rounds === MOST_ROUNDS) break;
    settled = next;
    next = bounded(settled, 10_000).placement;
  }
  const fresh = placeByTrace({ version: 1, model: 'm', trace, capacity: 10, instances, seed: 1 });
  expect(rounds).toBeLessThan(MOST_ROUNDS);
  expect(aMaxOf(start)).toBeGreaterThan(1.05 * aMaxOf(fresh));
  expect(aMaxOf(settled)).toBeLessThan(1.03 * aMaxOf(fresh));
});

test('free slots of a larger capacity are used', () => {
  const wider: Placement = {
    ...start,
    capacity: 12,
    layers: start.layers.map((layout) => ({ ...layout, capacity: 12 })),
  };
  const { placement } = bounded(wider, 40 * EXPERT_BYTES);
  checkPlacement(placement);
  const held = placement.layers.flatMap((layout) => layout.slots.map((slots) => slots.length));
  expect(Math.max(...held)).toBeGreaterThan(10);
});

test('a placement of another model and a negative bound are refused', () => {
  expect(() => bounded({ ...start, layers: start.layers.slice(1) }, 0)).toThrow(/1 layers of 64 experts/);
  expect(() => bounded(start, -1)).toThrow(/maxMoveBytes -1/);
});

test('a layout that differs from the one in force by the numbers of its instances is aligned with it', () => {
  const [inForce] = placeByTrace({ version: 1, model: 'm', trace, capacity: 10, instances, seed: 1 }).layers;
  const shuffled = { ...inForce, slots: inForce.slots.toReversed() };
  expect(alignLayout(shuffled, inForce)).toEqual(inForce);
});

test('where it counts in which failure domain experts are, a group stays in its own', () => {
  const inForce = { instances: 4, capacity: 1, slots: [[0], [1], [2], [3]] };
  const next = { ...inForce, slots: [[2], [0], [1], [3]] };
  expect(alignLayout(next, inForce).slots).toEqual(inForce.slots);
  expect(alignLayout(next, inForce, Int32Array.of(0, 0, 1, 1)).slots).toEqual([[0], [2], [1], [3]]);
});

test('aligning keeps every group of experts, also where instances were added or taken away', () => {
  const group = (slots: readonly (readonly number[])[]): string[] => slots.map((held) => held.join()).sort();
  const three = { instances: 3, capacity: 2, slots: [[0, 1], [2, 3], [4]] };
  const two = {
    instances: 2,
    capacity: 3,
    slots: [
      [2, 3, 4],
      [0, 1],
    ],
  };
  expect(alignLayout(three, two).slots).toEqual([[2, 3], [0, 1], [4]]);
  expect(group(alignLayout(two, three).slots)).toEqual(group(two.slots));
});
