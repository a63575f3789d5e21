import { takeTurns } from '../../rounds/turns.ts';
import type { PeerMode } from '../llama/protocol.ts';
import { ApartError, decodeTimes, p50p99, type Summary, summarise } from './decode-times.ts';
import { randomTokens } from './prompts.ts';
import type { Systems } from './systems.ts';

/** What is measured in one cell. */
export interface CellOptions {
  readonly phase: 'prefill' | 'decode';
  readonly sequences: number;
  /** Tokens of each prompt. */
  readonly context: number;
  /** Tokens that each sequence decodes while all do. */
  readonly decodeTokens: number;
  readonly repetitions: number;
  readonly vocabularySize: number;
}

/** The ways by which the model is run. */
export type Way = 'ours' | 'oursInner' | PeerMode;
export const WAYS: readonly Way[] = ['ours', 'asItComes', 'oursInner', 'tuned'];
const MODES: readonly PeerMode[] = ['asItComes', 'tuned'];

/** One way in one cell. */
export interface Measured {
  readonly tokensPerSecond: Summary;
  /** Of each repetition. */
  readonly rounds: readonly number[];
  /** Of single steps in decode (TPOT), of whole prompts in prefill (TTFT). */
  readonly latency: { readonly p50Ms: number; readonly p99Ms: number };
}

/** Prompt rows that `janus up` prefills per step beside decoding; used to foresee how long prompts keep sequences apart. */
const PREFILL_ROWS = 128;
const MOST_RETRIES = 2;
/** Room in the peer's cache beyond what is used. */
const SPARE_CONTEXT = 8;

/** Runs one repetition of a cell in one way. */
type Repetition = (
  way: Way,
  repetition: number,
) => Promise<{ tokensPerSecond: number; latenciesMs: number[] }>;

/** Measures one cell in all ways, in turn in each repetition. */
export async function measureCell(systems: Systems, options: CellOptions): Promise<Record<Way, Measured>> {
  const { sequences, context, decodeTokens, repetitions } = options;
  const contextSize = context + decodeTokens + SPARE_CONTEXT;
  for (const mode of MODES) await systems.peer.tell('open', { mode, sequences, contextSize });
  try {
    const run = options.phase === 'prefill' ? prefill(systems, options) : await decode(systems, options);
    const results = await takeTurns(WAYS, repetitions, run);
    const measured = (way: Way): Measured => {
      const rounds = results.get(way)!.map(({ tokensPerSecond }) => tokensPerSecond);
      const latency = p50p99(results.get(way)!.flatMap(({ latenciesMs }) => latenciesMs));
      return { tokensPerSecond: summarise(rounds), rounds, latency };
    };
    return Object.fromEntries(WAYS.map((way) => [way, measured(way)])) as Record<Way, Measured>;
  } finally {
    for (const mode of MODES) await systems.peer.tell('close', { mode });
  }
}

/** One prompt at a time, a new one each time, so that no cache of prefixes helps. */
function prefill({ janus, peer }: Systems, { context, vocabularySize }: CellOptions): Repetition {
  return async (way, repetition) => {
    const seed = 1_000 + 10 * repetition + WAYS.indexOf(way);
    const [prompt] = randomTokens(vocabularySize, 1, context, seed);
    let firstTokenMs: number | undefined;
    if (way === 'ours' || way === 'oursInner') {
      const requests = [{ prompt: prompt!, tokens: 1, seed }];
      [firstTokenMs] = (await (way === 'ours' ? janus.overHttp(requests) : janus.innerLoop(requests))).flat();
    } else {
      ({ firstTokenMs } = await peer.tell('prefill', { mode: way, prompt: prompt! }));
    }
    if (firstTokenMs === undefined) throw new Error('A prompt was answered without a token.');
    return { tokensPerSecond: (context * 1_000) / firstTokenMs, latenciesMs: [firstTokenMs] };
  };
}

/**
 * All sequences at once. The peer keeps its prompts in the cache and starts over after them; ours takes requests with the whole
 * prompt, as it would from users, and only the span in which all sequences decode counts.
 */
async function decode({ janus, peer }: Systems, options: CellOptions): Promise<Repetition> {
  const { sequences, context, decodeTokens, vocabularySize } = options;
  const prompts = randomTokens(vocabularySize, sequences, context, sequences);
  for (const mode of MODES) await peer.tell('prepare', { mode, prompts });
  // While the last prompts are prefilled, the first sequences decode a token per step already.
  const tokens = decodeTokens + 2 * Math.ceil((sequences * context) / Math.max(1, PREFILL_ROWS - sequences));
  return againWhereApart(async (way, repetition, attempt) => {
    const seed = 1_000 + 100 * repetition + 10_000 * attempt;
    let timesMs: readonly (readonly number[])[];
    if (way === 'ours' || way === 'oursInner') {
      const requests = prompts.map((prompt, i) => ({ prompt, tokens, seed: seed + i }));
      timesMs = await (way === 'ours' ? janus.overHttp(requests) : janus.innerLoop(requests));
    } else {
      const feeds = randomTokens(vocabularySize, sequences, decodeTokens, seed);
      ({ timesMs } = await peer.tell('decode', { mode: way, feeds }));
    }
    const { tokensPerSecond, gapsMs } = decodeTimes(timesMs);
    return { tokensPerSecond, latenciesMs: [...gapsMs] };
  });
}

/** Runs a repetition again where its sequences hardly decoded together: one must not cost all that was measured before. */
function againWhereApart(
  run: (way: Way, repetition: number, attempt: number) => ReturnType<Repetition>,
): Repetition {
  return async (way, repetition) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await run(way, repetition, attempt);
      } catch (error) {
        if (!(error instanceof ApartError) || attempt === MOST_RETRIES) throw error;
        console.error(`${way}, again: ${error.message}`);
      }
    }
  };
}
