import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Regime, RegimeChooser } from './regime-chooser.ts';

type Cost = (bytes: number) => number;

/** Runs steps of random size, and counts how often the slower regime was taken in the last quarter. */
function play(costs: Record<Regime, Cost>, sizes: readonly number[], noise: (step: number) => number) {
  const chooser = new RegimeChooser({ direct: 3, relay: 1 });
  let wrong = 0;
  for (const [step, bytes] of sizes.entries()) {
    const regime = chooser.choose(bytes);
    chooser.record(regime, bytes, costs[regime](bytes) * noise(step));
    const best = Math.min(costs.direct(bytes), costs.relay(bytes));
    if (step > 0.75 * sizes.length && costs[regime](bytes) > 1.3 * best) wrong++;
  }
  return { chooser, wrong };
}

const sizes = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => 1_000 + ((i * 7_919 + seed * 104_729) % 200_000));

test('learns which regime is cheaper, whatever the two cost, within noise', () => {
  const cost = fc.record({
    alpha: fc.integer({ min: 20, max: 500 }),
    perKilobyte: fc.integer({ min: 1, max: 50 }),
  });
  fc.assert(
    fc.property(cost, cost, fc.nat(1_000), (direct, relay, seed) => {
      const line =
        ({ alpha, perKilobyte }: typeof direct): Cost =>
        (bytes) =>
          alpha + (perKilobyte * bytes) / 1_000;
      const costs = { direct: line(direct), relay: line(relay) };
      const { wrong } = play(costs, sizes(2_000, seed), (step) => 1 + 0.1 * Math.sin(step * 12.9898));
      // Probes of the other regime, and a few steps at sizes where both cost nearly the same.
      expect(wrong).toBeLessThan(40);
    }),
    { numRuns: 50 },
  );
});

test('predicts α·messages + bytes/β', () => {
  const { chooser } = play(
    { direct: (b) => 90 + b / 500, relay: (b) => 400 + b / 100 },
    sizes(500, 1),
    () => 1,
  );
  expect(chooser.predictUs('direct', 50_000)).toBeCloseTo(190, 0);
  expect(chooser.estimate('direct').alphaUs).toBeCloseTo(30, 0);
  expect(chooser.estimate('direct').betaBytesPerUs).toBeCloseTo(500, 0);
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
  // Each probe is a change and a change back.
  expect(changes).toBeLessThan(2 * (3_000 / 200) + 20);
  for (let step = 0; step < 1_000; step++) {
    const regime = chooser.choose(10_000);
    chooser.record(regime, 10_000, regime === 'direct' ? 1_000 : 100);
  }
  const taken = Array.from({ length: 100 }, () => chooser.choose(10_000));
  expect(taken.filter((regime) => regime === 'relay').length).toBeGreaterThan(95);
});
