import type { BenchModelName } from '../model/options.ts';
import { summarise } from '../peer/measure/decode-times.ts';
import type { LoadWatch } from '../peer/measure/machine-load.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { Janus } from '../peer/measure/systems.ts';
import { computePrompts, decodeTogether, type Prompts } from '../rounds/decode.ts';
import { pairedRatio } from '../rounds/statistics.ts';
import { takeTurns } from '../rounds/turns.ts';
import { FORM, packedBenchModel } from '../systems/bench-model.ts';

const CONTEXT = 64;
const PROMPT_SEED = 3;
const KEPT_MIB = 256;
const PAUSE_MS = 500;
/** Of the time of a step, over the model with the fewest experts. */
const MOST_WANTED = 1.1;

export interface ExpertsOptions {
  /** Models that activate as many weights per token and differ in their number of experts, ascending. */
  readonly models: readonly BenchModelName[];
  readonly tokens: number;
  readonly rounds: number;
}

export interface ExpertsCase {
  readonly experts: number;
  readonly msPerStep: number;
  readonly msLeast: number;
  readonly msMost: number;
  /** Over the model with the fewest experts: median of the ratio in one round, and its spread. */
  readonly overFewest: number;
  readonly overFewestLeast: number;
  readonly overFewestMost: number;
  readonly mostWanted: number;
}

interface Served {
  readonly experts: number;
  readonly janus: Janus;
  readonly prompts: Prompts;
}

/** How the time of decoding one sequence grows with the number of experts, of which always as many are activated. */
export async function measureExperts(options: ExpertsOptions, watch: LoadWatch): Promise<ExpertsCase[]> {
  const served: Served[] = [];
  await using parts = new AsyncDisposableStack();
  const flags = ['--attention', '1', '--experts', '1', '--kv-slots', '1'];
  for (const name of options.models) {
    const { folder, config } = await packedBenchModel(name);
    const janus = await Janus.start(folder, FORM, [...flags, '--prefix-cache-mib', String(KEPT_MIB)]);
    parts.defer(() => janus.stop());
    const prompts = randomTokens(config.vocabularySize, 1, CONTEXT, PROMPT_SEED);
    await computePrompts(janus, prompts);
    served.push({ experts: config.experts, janus, prompts });
    console.error(`${name} is ready`);
  }
  await watch.pause(PAUSE_MS);
  const times = await takeTurns(served, options.rounds, async ({ janus, prompts }, round) => {
    const { tokensPerSecond } = await decodeTogether(janus, prompts, options.tokens, round);
    return 1_000 / tokensPerSecond;
  });
  const [fewest] = times.values();
  return [...times].map(([{ experts }, stepsMs]) => {
    const ms = summarise(stepsMs);
    const ratio = pairedRatio(stepsMs, fewest!);
    return {
      experts,
      msPerStep: ms.median,
      msLeast: ms.least,
      msMost: ms.most,
      overFewest: ratio.median,
      overFewestLeast: ratio.least,
      overFewestMost: ratio.most,
      mostWanted: MOST_WANTED,
    };
  });
}
