import { summarise } from '../peer/measure/decode-times.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { randomTokens } from '../peer/measure/prompts.ts';
import { Janus } from '../peer/measure/systems.ts';
import { computePrompts, decodeTogether, type Prompts } from '../rounds/decode.ts';
import { pairedRatio } from '../rounds/statistics.ts';
import { takeTurns } from '../rounds/turns.ts';
import { FORM, packedBenchModel } from '../systems/bench-model.ts';
import { besideNeighbour } from './neighbour.ts';

const FULL = { sequences: [1, 8, 32], tokens: 48, rounds: 5 };
const QUICK = { sequences: [1, 8], tokens: 24, rounds: 1 };
/** One thread of the system for each; the neighbour is on the second. */
const PROCESSORS = '0,1';
const NEIGHBOURS_PROCESSOR = '1';
const FLAGS = ['--attention', '1', '--experts', '1', '--kv-slots', '32', '--prefix-cache-mib', '512'];
const CONTEXT = 64;
const PROMPT_SEED = 4;
const PAUSE_MS = 500;
const LEAST_WANTED = 0.4;

const WAYS = ['quiet', 'busy'] as const;

interface ContentionCase {
  readonly sequences: number;
  /** Tokens/s of all sequences together. */
  readonly quiet: number;
  readonly busy: number;
  readonly busyLeast: number;
  readonly busyMost: number;
  /** Median over the rounds of the ratio of the two in one round. */
  readonly busyOverQuiet: number;
  readonly busyOverQuietLeast: number;
  readonly busyOverQuietMost: number;
  readonly leastWanted: number;
  /** Part of the time in which the neighbour had its processor: 1, and it got all that it wanted. */
  readonly neighbourShare: number;
}

/** What is left of the throughput while another process keeps one of two processors busy. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { sequences, tokens, rounds } = quick ? QUICK : FULL;
  const { folder, config } = await packedBenchModel();
  const watch = new LoadWatch();
  const prompts = randomTokens(config.vocabularySize, Math.max(...sequences), CONTEXT, PROMPT_SEED);
  const janus = await Janus.start(folder, FORM, FLAGS, { processors: PROCESSORS });
  try {
    await computePrompts(janus, prompts);
    const cases: ContentionCase[] = [];
    for (const count of sequences) {
      await watch.pause(PAUSE_MS);
      cases.push(await measure(janus, prompts.slice(0, count), tokens, rounds));
      console.error(`${count} sequences measured`);
    }
    return { cases, context: CONTEXT, tokensPerSequence: tokens, rounds, machineLoad: watch.result() };
  } finally {
    await janus.stop();
  }
}

async function measure(
  janus: Janus,
  prompts: Prompts,
  tokens: number,
  rounds: number,
): Promise<ContentionCase> {
  const shares: number[] = [];
  const times = await takeTurns(WAYS, rounds, async (way, round) => {
    const decode = () => decodeTogether(janus, prompts, tokens, round);
    if (way === 'quiet') return (await decode()).tokensPerSecond;
    const { result, neighbourShare } = await besideNeighbour(NEIGHBOURS_PROCESSOR, decode);
    shares.push(neighbourShare);
    return result.tokensPerSecond;
  });
  const quiet = times.get('quiet')!;
  const busy = times.get('busy')!;
  const speed = summarise(busy);
  const ratio = pairedRatio(busy, quiet);
  return {
    sequences: prompts.length,
    quiet: summarise(quiet).median,
    busy: speed.median,
    busyLeast: speed.least,
    busyMost: speed.most,
    busyOverQuiet: ratio.median,
    busyOverQuietLeast: ratio.least,
    busyOverQuietMost: ratio.most,
    leastWanted: LEAST_WANTED,
    neighbourShare: summarise(shares).median,
  };
}
