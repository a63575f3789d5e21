import { summarise } from '../peer/measure/decode-times.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { computePrompts, type DecodingSystem, decodeTogether } from '../rounds/decode.ts';
import { pairedRatio } from '../rounds/statistics.ts';
import { takeTurns } from '../rounds/turns.ts';
import { type PackedBenchModel, packedBenchModel } from '../systems/bench-model.ts';
import { COMPARISONS, type Comparison } from './systems.ts';

const FULL = { sequences: [1, 16, 32], tokens: 48, rounds: 5 };
const QUICK = { sequences: [1, 16], tokens: 24, rounds: 1 };
/** One block of the prefix cache, so that all of it is kept. */
const CONTEXT = 64;
const PROMPT_SEED = 1;
const PAUSE_MS = 500;

interface SplitCase {
  /** Those that every process of the system may use. */
  readonly processors: string;
  readonly system: string;
  readonly sequences: number;
  readonly tokensPerSecond: number;
  readonly least: number;
  readonly most: number;
  /** System by which the ratio divides. */
  readonly base: string;
  /** Median over the rounds of the ratio of the two in one round. */
  readonly overBase: number;
  readonly overBaseLeast: number;
  readonly overBaseMost: number;
  /** Least ratio that is wanted. */
  readonly wanted: number | string;
}

/** What separate pools cost: attention and experts in one host against the monolith, and in two hosts against one. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const options = quick ? QUICK : FULL;
  const model = await packedBenchModel();
  const watch = new LoadWatch();
  const cases: SplitCase[] = [];
  for (const comparison of COMPARISONS) cases.push(...(await compare(comparison, model, options, watch)));
  const { rounds, tokens } = options;
  return { cases, context: CONTEXT, tokensPerSequence: tokens, rounds, machineLoad: watch.result() };
}

async function compare(
  comparison: Comparison,
  { folder, config }: PackedBenchModel,
  { sequences, tokens, rounds }: typeof FULL,
  watch: LoadWatch,
): Promise<SplitCase[]> {
  const { processors } = comparison;
  const systems = new Map<string, DecodingSystem>();
  const cases: SplitCase[] = [];
  await using parts = new AsyncDisposableStack();
  const prompts = randomTokens(config.vocabularySize, Math.max(...sequences), CONTEXT, PROMPT_SEED);
  for (const [name, { start }] of Object.entries(comparison.systems)) {
    console.error(`processors ${processors}: starting ${name}`);
    const system = await start(folder, processors);
    parts.defer(() => system.stop());
    await computePrompts(system, prompts);
    systems.set(name, system);
  }
  for (const count of sequences) {
    await watch.pause(PAUSE_MS);
    const results = await takeTurns([...systems.keys()], rounds, (name, round) =>
      decodeTogether(systems.get(name)!, prompts.slice(0, count), tokens, round),
    );
    const speeds = [...results].map(
      ([name, times]) => [name, times.map(({ tokensPerSecond }) => tokensPerSecond)] as const,
    );
    cases.push(...casesOf(comparison, count, speeds));
    console.error(`processors ${processors}: ${count} sequences measured`);
  }
  return cases;
}

function casesOf(
  { processors, systems }: Comparison,
  sequences: number,
  speeds: readonly (readonly [name: string, tokensPerSecond: readonly number[]])[],
): SplitCase[] {
  const [[base, baseSpeeds]] = speeds as [(typeof speeds)[number]];
  return speeds.map(([system, tokensPerSecond]) => {
    const speed = summarise(tokensPerSecond);
    const ratio = pairedRatio(tokensPerSecond, baseSpeeds);
    return {
      processors,
      system,
      sequences,
      tokensPerSecond: speed.median,
      least: speed.least,
      most: speed.most,
      base,
      overBase: ratio.median,
      overBaseLeast: ratio.least,
      overBaseMost: ratio.most,
      wanted: systems[system]!.wanted?.(sequences) ?? '–',
    };
  });
}
