import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../placement/seeded-random.ts';
import type { Regime } from './regime.ts';
import { RegimeChooser } from './regime-chooser.ts';

type Cost = (bytes: number, step: number) => number;

/** Runs steps of the given sizes; returns what they took and what the better regime of each would have taken. */
function play(costs: Record<Regime, Cost>, sizes: readonly number[], noise: (step: number) => number) {
  const chooser = new RegimeChooser({ direct: 3, relay: 1 });
  const taken: Regime[] = [];
  let tookUs = 0;
  let bestUs = 0;
  for (const [step, bytes] of sizes.entries()) {
    const regime = chooser.choose(bytes);
    const factor = noise(step);
    chooser.record(regime, bytes, costs[regime](bytes, step) * factor);
    taken.push(regime);
    tookUs += costs[regime](bytes, step) * factor;
    bestUs += Math.min(costs.direct(bytes, step), costs.relay(bytes, step)) * factor;
  }
  return { chooser, taken, ratio: tookUs / bestUs };
}

const sizes = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => 1_000 + ((i * 7_919 + seed * 104_729) % 200_000));
const line =
  ({ alpha, perKilobyte }: { alpha: number; perKilobyte: number }): Cost =>
  (bytes) =>
    alpha + (perKilobyte * bytes) / 1_000;
const cost = fc.record({
  alpha: fc.integer({ min: 20, max: 500 }),
  perKilobyte: fc.integer({ min: 1, max: 50 }),
});

test('costs little more than the better regime, whatever the two cost, within noise', () => {
  fc.assert(
    fc.property(cost, cost, fc.nat(1_000), (direct, relay, seed) => {
      const random = seededRandom(seed);
      const costs = { direct: line(direct), relay: line(relay) };
      // Heavy-tailed, as the times of a busy machine are.
      const { ratio } = play(costs, sizes(4_000, seed), () => 0.5 - Math.log(1 - random()));
      const gains = [0, 200_000].map((bytes) => Math.log(costs.direct(bytes, 0) / costs.relay(bytes, 0)));
      const farSlower = Math.exp(Math.max(...gains.map(Math.abs)));
      // Where sizes jump over the one at which both cost the same, the choice comes late. Of 120,000 draws the worst cost 1.21
      // there and 1.13 elsewhere; first steps and probes of a regime that is far slower are part of the price.
      const crossing = Math.sign(gains[0]!) !== Math.sign(gains[1]!);
      expect(ratio).toBeLessThan((crossing ? 1.3 : 1.2) + 0.005 * farSlower);
    }),
    { numRuns: 100 },
  );
});

test('is not misled by a cold start', () => {
  const costs: Record<Regime, Cost> = {
    direct: (_, step) => (step < 12 ? 8_000 : 2_000),
    relay: (_, step) => (step < 8 ? 8_000 : 3_500),
  };
  const { taken } = play(costs, new Array(600).fill(20_000), (step) => 1 + 0.2 * Math.sin(step * 12.9898));
  expect(taken.slice(200).filter((regime) => regime === 'relay').length).toBeLessThan(10);
});

test('does not take a machine that slows down for a regime that does', () => {
  const random = seededRandom(3);
  const costs: Record<Regime, Cost> = { direct: () => 1_000, relay: () => 1_300 };
  // The machine is now faster and now slower, for a hundred steps at a time, beside what varies from step to step.
  const noise = (step: number): number =>
    (Math.floor(step / 100) % 3 === 2 ? 1.8 : 0.8) * (0.7 + 0.6 * random());
  const { ratio } = play(costs, new Array(6_000).fill(20_000), noise);
  expect(ratio).toBeLessThan(1.012);
});

test('does not conclude from small steps to large ones', () => {
  const random = seededRandom(7);
  const costs: Record<Regime, Cost> = { direct: (b) => 1_000 + b / 20, relay: (b) => 3_000 + b / 15 };
  // What the first small steps seem to say of size is noise.
  const steps = [...new Array(60).fill(880), ...new Array(10).fill(3_280), ...new Array(300).fill(204_880)];
  const { taken } = play(costs, steps, () => 0.5 - Math.log(1 - random()));
  expect(taken.slice(-200).filter((regime) => regime === 'relay').length).toBeLessThan(30);
});

test('predicts α·messages + bytes/β, and says what it predicted', () => {
  const costs: Record<Regime, Cost> = { direct: (b) => 90 + b / 500, relay: (b) => 400 + b / 100 };
  const { chooser, taken } = play(costs, sizes(500, 1), () => 1);
  expect(chooser.predictUs('direct', 50_000)).toBeCloseTo(190, 0);
  expect(chooser.estimate('direct').alphaUs).toBeCloseTo(30, 0);
  expect(chooser.estimate('direct').betaBytesPerUs).toBeCloseTo(500, 0);
  const [direct, relay] = chooser.records;
  // The first three steps of each are cold, or have nothing to be predicted from.
  expect(direct!.layerSteps + relay!.layerSteps).toBe(taken.length - 6);
  expect(direct!.meanPredictedUs / direct!.meanMeasuredUs).toBeCloseTo(1, 1);
});

test('follows a link that gets slower, and does not flap where both cost the same', () => {
  const chooser = new RegimeChooser({ direct: 2, relay: 1 });
  let changes = 0;
  let last: Regime = 'direct';
  for (let step = 0; step < 3_000; step++) {
    const regime = chooser.choose(10_000);
    if (regime !== last) changes++;
    last = regime;
    chooser.record(regime, 10_000, 100 + (step % 7));
  }
  // Each of the first steps is a change, and each probe is one and one back.
  expect(changes).toBeLessThan(20 + 2 * (10 + 3_000 / 256));
  for (let step = 0; step < 1_000; step++) {
    const regime = chooser.choose(10_000);
    chooser.record(regime, 10_000, regime === 'direct' ? 1_000 : 100);
  }
  const taken = Array.from({ length: 100 }, () => chooser.choose(10_000));
  expect(taken.filter((regime) => regime === 'relay').length).toBeGreaterThan(95);
});
