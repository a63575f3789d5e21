import { parseArgs } from 'node:util';
import { describeFailure, describeSummary } from './report.ts';
import { type Outcome, simulate } from './simulate.ts';

const DEFAULT_SEEDS = 1_000;

/** Runs many seeds, or one again: `npm run sim:chaos -- --seeds 1000`, `npm run sim:chaos -- --seed 17`. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  const first = Number(values.seed ?? values.from ?? 1);
  const count = values.seed === undefined ? Number(values.seeds ?? DEFAULT_SEEDS) : 1;
  if (!Number.isInteger(first) || !Number.isInteger(count) || count < 1) {
    throw new Error('--seed, --from and --seeds take whole numbers; --seeds at least 1');
  }
  const startedAtMs = performance.now();
  const outcomes: Outcome[] = [];
  for (let seed = first; seed < first + count; seed += 1) {
    const outcome = await simulate(seed);
    outcomes.push(outcome);
    if (outcome.violation !== null) console.log(describeFailure(outcome));
  }
  console.log(describeSummary(outcomes, performance.now() - startedAtMs));
  process.exitCode = outcomes.some(({ violation }) => violation !== null) ? 1 : 0;
}

await main();
