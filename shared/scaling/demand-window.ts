import type { AnswerCount } from '../protocol/member.ts';
import { type AnswerLength, answerLength } from './answer-length.ts';
import type { Demand } from './solver.ts';

/** What was seen in one interval of the window. */
export interface DemandSample {
  /** Unix time in milliseconds at its end. */
  readonly atMs: number;
  readonly seconds: number;
  /** Output tokens that were made in it. */
  readonly tokens: number;
  /** Sequences that wait for a place at its end: demand that is not served. */
  readonly waiting: number;
  /** Mean length of the contexts that decode, in tokens; null when none did. */
  readonly context: number | null;
  /** How much attention instances differed, see `variationBetween`; absent where fewer than two computed. */
  readonly attentionVariation?: number;
  /** Answers that ended in it; absent in records of versions that did not count them. */
  readonly answers?: AnswerCount;
}

export interface DemandWindowLimits {
  /** Reacts to bursts. */
  readonly shortMs: number;
  /** Forgets slowly. */
  readonly longMs: number;
  /** Output tokens that a sequence is expected to want, until answers have told. */
  readonly tokensPerSequence: number;
}

export const DEMAND_WINDOW_LIMITS: DemandWindowLimits = {
  shortMs: 15_000,
  longMs: 180_000,
  tokensPerSequence: 128,
};

/** A demand and the window that it follows from. */
export interface PlannedDemand extends Demand {
  readonly from: 'short' | 'long';
  /** Of the answers that ended in the long window, where those are enough. */
  readonly answer: AnswerLength;
}

/**
 * The demand to plan for: the larger of a short and a long window's, so that a burst counts at once and its end slowly. What
 * waits counts as wanted within the short window, else a deployment that is too small would see only what it can serve.
 *
 * @param samples ascending by time
 * @returns null when nothing was asked in the long window
 */
export function plannedDemand(
  samples: readonly DemandSample[],
  nowMs: number,
  limits: DemandWindowLimits = DEMAND_WINDOW_LIMITS,
): PlannedDemand | null {
  const long = samples.filter(({ atMs }) => atMs > nowMs - limits.longMs);
  const short = long.filter(({ atMs }) => atMs > nowMs - limits.shortMs);
  const waiting = long.at(-1)?.waiting ?? 0;
  const answer = answerLength(
    long.map(({ answers }) => answers),
    limits.tokensPerSequence,
  );
  const waitingPerSecond = (waiting * answer.tokens * 1_000) / limits.shortMs;
  const shortRate = tokenRate(short) + waitingPerSecond;
  const longRate = tokenRate(long);
  if (shortRate === 0 && longRate === 0) return null;
  return {
    tokensPerSecond: Math.max(shortRate, longRate),
    context: meanContext(short) ?? meanContext(long) ?? 0,
    from: shortRate >= longRate ? 'short' : 'long',
    answer,
  };
}

/** When something was last asked, as far as samples tell. @param samples ascending by time */
export function lastAskedAtMs(samples: readonly DemandSample[]): number | null {
  const isAsked = ({ tokens, waiting, context }: DemandSample): boolean =>
    tokens > 0 || waiting > 0 || context !== null;
  return samples.findLast(isAsked)?.atMs ?? null;
}

function tokenRate(samples: readonly DemandSample[]): number {
  const seconds = samples.reduce((sum, sample) => sum + sample.seconds, 0);
  return seconds === 0 ? 0 : samples.reduce((sum, sample) => sum + sample.tokens, 0) / seconds;
}

/** Contexts count by the tokens that were made in them. */
function meanContext(samples: readonly DemandSample[]): number | null {
  let tokens = 0;
  let weighted = 0;
  for (const sample of samples) {
    if (sample.context === null) continue;
    tokens += sample.tokens;
    weighted += sample.tokens * sample.context;
  }
  return tokens === 0 ? null : weighted / tokens;
}
