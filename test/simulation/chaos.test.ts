import { describe, expect, test } from 'vitest';
import type { Seen } from './checks.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import { describeFailure } from './report.ts';
import { type Outcome, simulate } from './simulate.ts';

/** `npm run sim:chaos -- --seeds 1000` runs more of them. */
const SEEDS = 50;
/** How often what the rules are about has to take place in these runs, all together. */
const LEAST_SEEN: Seen = { placements: 100, flips: 20, rounds: 300, sizes: 20, takeovers: 10 };
/** A planted bug must be found within so many. */
const SEEDS_PER_BUG = 200;

test(`our code keeps to every rule, whatever goes wrong in ${SEEDS} runs`, async () => {
  const outcomes: Outcome[] = [];
  for (let seed = 1; seed <= SEEDS; seed += 1) outcomes.push(await simulate(seed));
  const broken = outcomes.filter(({ violation }) => violation !== null);
  expect(broken.map(describeFailure).join('\n\n')).toBe('');
  const finished = outcomes.reduce((sum, { requests }) => sum + requests.finished, 0);
  const others = outcomes.reduce((sum, { requests }) => sum + requests.failed + requests.dropped, 0);
  // Rules that hold because nothing takes place would say little.
  expect(finished).toBeGreaterThan(2 * others);
  for (const [what, least] of Object.entries(LEAST_SEEN)) {
    const seen = outcomes.reduce((sum, outcome) => sum + outcome.seen[what as keyof Seen], 0);
    expect(seen, what).toBeGreaterThan(least);
  }
});

test('where nothing goes wrong every request is answered', async () => {
  const { violation, requests } = await simulate(1, { faults: [] });
  expect(violation).toBeNull();
  expect(requests).toMatchObject({ failed: 0, dropped: 0 });
  expect(requests.finished).toBeGreaterThan(0);
});

test('a seed is run again event for event', async () => {
  const [first, again, other] = [await simulate(7), await simulate(7), await simulate(8)];
  expect(again).toEqual(first);
  expect(other.fingerprint).not.toBe(first.fingerprint);
});

describe('a planted bug is found', () => {
  test.each(Object.entries(PLANTED_BUGS))('%s', async (_, { parts, rule }) => {
    for (let seed = 1; seed <= SEEDS_PER_BUG; seed += 1) {
      const outcome = await simulate(seed, { parts });
      const { violation } = outcome;
      if (violation === null) continue;
      expect(violation.rule).toBe(rule);
      expect(await simulate(seed, { parts })).toEqual(outcome);
      return;
    }
    expect.fail(`not found in ${SEEDS_PER_BUG} runs`);
  });
});
