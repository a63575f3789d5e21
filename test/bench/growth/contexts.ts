import { readBandwidth } from '../peer/bandwidth/bandwidth.ts';
import { bytesPerStep, kvBytesPerToken } from '../peer/measure/bytes-per-step.ts';
import { type Summary, summarise } from '../peer/measure/decode-times.ts';
import type { LoadWatch } from '../peer/measure/machine-load.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { Janus } from '../peer/measure/systems.ts';
import { computePrompts, decodeTogether, type Prompts } from '../rounds/decode.ts';
import { takeTurns } from '../rounds/turns.ts';
import { FORM, packedBenchModel } from '../systems/bench-model.ts';

/** Threads of the system: one attention and one expert instance. */
const THREADS = 2;
/** All prompts together, and what is generated behind them. */
const KEPT_MIB = 2_048;
const PROMPT_SEED = 2;
const PAUSE_MS = 500;

export interface ContextOptions {
  /** Tokens of the prompts, ascending; multiples of 64, of which the prefix cache keeps all. */
  readonly contexts: readonly number[];
  readonly sequences: readonly number[];
  readonly tokens: number;
  readonly rounds: number;
}

/** One measured number of sequences at one length of their contexts. */
export interface ContextCase {
  readonly sequences: number;
  readonly context: number;
  readonly msPerStep: number;
  readonly msLeast: number;
  readonly msMost: number;
  /** Keys and values that attention reads in one step, in all layers and sequences. */
  readonly kvMbPerStep: number;
  /** What has to be read beyond that at the shortest context, at the bandwidth of this machine. */
  readonly moreBytesMs: number;
  /** What a step takes beyond that at the shortest context. */
  readonly moreMs: number;
  /** Their ratio within a round: 1 is what the bytes explain. */
  readonly moreOverBytes: number | string;
  readonly ratioLeast: number | string;
  readonly ratioMost: number | string;
  /** Time and bytes, weights among them, over those of a step at the shortest context: by how much the cost of a token grows. */
  readonly overShortest: number;
  readonly bytesOverShortest: number;
}

/** How the time of a decode step grows with the contexts of its sequences. */
export async function measureContexts(
  options: ContextOptions,
  watch: LoadWatch,
): Promise<{ cases: ContextCase[]; bandwidthGbPerS: number }> {
  const { contexts, sequences } = options;
  const { folder, config } = await packedBenchModel();
  const bandwidthGbPerS = await readBandwidth(THREADS);
  const most = Math.max(...sequences);
  const flags = ['--attention', '1', '--experts', '1', '--kv-slots', String(most)];
  const janus = await Janus.start(folder, FORM, [...flags, '--prefix-cache-mib', String(KEPT_MIB)]);
  try {
    const prompts = new Map<number, Prompts>();
    // The longest first, so that slots have the largest buffers from the beginning.
    for (const context of contexts.toReversed()) {
      console.error(`computing ${most} prompts of ${context} tokens`);
      prompts.set(context, randomTokens(config.vocabularySize, most, context, PROMPT_SEED));
      await computePrompts(janus, prompts.get(context)!);
    }
    const cases: ContextCase[] = [];
    for (const count of sequences) {
      await watch.pause(PAUSE_MS);
      const steps = await takeTurns(contexts, options.rounds, async (context, round) => {
        const load = prompts.get(context)!.slice(0, count);
        const { tokensPerSecond, meanTokensBefore } = await decodeTogether(
          janus,
          load,
          options.tokens,
          round,
        );
        const before = context + meanTokensBefore;
        return {
          ms: (count * 1_000) / tokensPerSecond,
          bytes: count * before * kvBytesPerToken(config, FORM),
          allBytes: bytesPerStep(folder, FORM, count, before),
        };
      });
      cases.push(...growthOf(count, steps, bandwidthGbPerS));
      console.error(`${count} sequences measured`);
    }
    return { cases, bandwidthGbPerS };
  } finally {
    await janus.stop();
  }
}

/** What one round measured of a step. */
interface Step {
  readonly ms: number;
  /** Of keys and values, and of weights too. */
  readonly bytes: number;
  readonly allBytes: number;
}

/** Compares with the shortest context, round by round. */
export function growthOf(
  sequences: number,
  steps: ReadonlyMap<number, readonly Step[]>,
  bandwidthGbPerS: number,
): ContextCase[] {
  const [shortest] = steps.values();
  return [...steps].map(([context, rounds]): ContextCase => {
    const over = (of: (step: Step) => number): Summary =>
      summarise(rounds.map((step, round) => of(step) - of(shortest![round]!)));
    const times = (of: (step: Step) => number): Summary =>
      summarise(rounds.map((step, round) => of(step) / of(shortest![round]!)));
    const ms = summarise(rounds.map((step) => step.ms));
    const moreMs = over((step) => step.ms).median;
    const moreBytesMs = over((step) => step.bytes).median / bandwidthGbPerS / 1e6;
    const ratio = summarise(
      rounds.map(({ ms, bytes }, round) => {
        const base = shortest![round]!;
        return (ms - base.ms) / ((bytes - base.bytes) / bandwidthGbPerS / 1e6);
      }),
    );
    const isShortest = rounds === shortest;
    return {
      sequences,
      context,
      msPerStep: ms.median,
      msLeast: ms.least,
      msMost: ms.most,
      kvMbPerStep: summarise(rounds.map((step) => step.bytes)).median / 1e6,
      moreBytesMs,
      moreMs,
      moreOverBytes: isShortest ? '–' : ratio.median,
      ratioLeast: isShortest ? '–' : ratio.least,
      ratioMost: isShortest ? '–' : ratio.most,
      overShortest: times((step) => step.ms).median,
      bytesOverShortest: times((step) => step.allBytes).median,
    };
  });
}
