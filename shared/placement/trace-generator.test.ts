import { expect, test } from 'vitest';
import { seededRandom } from './seeded-random.ts';
import { generateTrace, RoutingGenerator, type RoutingProfile, SKEWED_PROFILE } from './trace-generator.ts';

const PROFILE: RoutingProfile = { ...SKEWED_PROFILE, layers: 2, experts: 64, expertsPerTopic: 8 };

function windowOf(profile: RoutingProfile, seed: number): Uint16Array {
  return generateTrace(new RoutingGenerator(profile, seededRandom(seed)), 16, 4).window(1);
}

test('the same seed gives the same trace, another seed another one', () => {
  expect(windowOf(PROFILE, 1)).toEqual(windowOf(PROFILE, 1));
  expect(windowOf(PROFILE, 1)).not.toEqual(windowOf(PROFILE, 2));
});

test('every row names different experts of the model', () => {
  const window = windowOf(PROFILE, 1);
  expect(window).toHaveLength(16 * PROFILE.sequences * PROFILE.expertsPerToken);
  for (let row = 0; row < window.length; row += PROFILE.expertsPerToken) {
    const ids = window.subarray(row, row + PROFILE.expertsPerToken);
    expect(new Set(ids).size).toBe(PROFILE.expertsPerToken);
    expect(Math.max(...ids)).toBeLessThan(PROFILE.experts);
  }
});

/** Share of all activations that the busiest quarter of the experts gets. */
function busiestQuarter(window: Uint16Array): number {
  const loads = new Array<number>(PROFILE.experts).fill(0);
  for (const expert of window) loads[expert] += 1;
  const busiest = loads.sort((a, b) => b - a).slice(0, PROFILE.experts / 4);
  return busiest.reduce((sum, load) => sum + load, 0) / window.length;
}

test('expertSkew makes some experts busier than others', () => {
  const even = busiestQuarter(windowOf({ ...PROFILE, topicBoost: 1, expertSkew: 0 }, 3));
  const skewed = busiestQuarter(windowOf({ ...PROFILE, topicBoost: 1, expertSkew: 1 }, 3));
  expect(even).toBeLessThan(0.3);
  expect(skewed).toBeGreaterThan(0.5);
});

/** How often two experts meet in a row, against how often they would if rows drew independently; the largest of all pairs. */
function strongestTie(window: Uint16Array): number {
  const { experts, expertsPerToken } = PROFILE;
  const rows = window.length / expertsPerToken;
  const together = new Float64Array(experts * experts);
  for (let row = 0; row < window.length; row += expertsPerToken) {
    const ids = window.subarray(row, row + expertsPerToken);
    for (const one of ids) for (const other of ids) together[one * experts + other] += 1;
  }
  let strongest = 0;
  for (let one = 0; one < experts; one += 1) {
    for (let other = 0; other < one; other += 1) {
      const apart = together[one * experts + one] * together[other * experts + other];
      if (apart > 0) strongest = Math.max(strongest, (together[one * experts + other] * rows) / apart);
    }
  }
  return strongest;
}

test('topicBoost makes the experts of a topic meet far more often than chance would have it', () => {
  expect(strongestTie(windowOf({ ...PROFILE, topicBoost: 1, expertSkew: 0 }, 3))).toBeLessThan(2);
  expect(strongestTie(windowOf({ ...PROFILE, topicBoost: 12, expertSkew: 0 }, 3))).toBeGreaterThan(3);
});

test.each([
  [{ experts: 0 }, /experts is 0/],
  [{ expertsPerToken: 65 }, /expertsPerToken is 65/],
  [{ meanSequenceSteps: 0 }, /meanSequenceSteps is 0/],
])('a profile with %o is refused', (change, message) => {
  expect(() => new RoutingGenerator({ ...PROFILE, ...change }, Math.random)).toThrow(message);
});
