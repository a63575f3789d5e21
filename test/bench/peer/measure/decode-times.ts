import { median, percentile } from '../../results.ts';

/** Steps that a sequence must have decoded beside all others for its rate to mean something. */
export const FEWEST_STEADY_TOKENS = 8;

/** Some sequence hardly decoded together with the others. */
export class ApartError extends Error {}

/** What the times of the tokens tell of the span in which all sequences decoded. */
export interface DecodeTimes {
  /** Of all sequences together. */
  readonly tokensPerSecond: number;
  /** Single times between two tokens of one sequence, in ms. */
  readonly gapsMs: readonly number[];
  /** Tokens that a sequence had generated before the one that ends such a gap, on average. */
  readonly meanTokensBefore: number;
}

/**
 * Cuts off the beginning, in which some sequences wait or prefill, and the end, at which some are done, and adds up the
 * sequences' own rates in between, so that tokens which just miss an edge cost nothing.
 *
 * @param timesMs per sequence, when it got its tokens
 * @throws ApartError when some sequence hardly decoded together with the others
 */
export function decodeTimes(timesMs: readonly (readonly number[])[]): DecodeTimes {
  const fromMs = Math.max(...timesMs.map((of) => of[0] ?? Number.POSITIVE_INFINITY));
  const untilMs = Math.min(...timesMs.map((of) => of.at(-1) ?? Number.NEGATIVE_INFINITY));
  const steady = timesMs.map((of) => of.filter((ms) => ms >= fromMs && ms <= untilMs));
  const skipped = timesMs.map((of) => of.filter((ms) => ms < fromMs).length);
  const fewest = Math.min(...steady.map((of) => of.length));
  if (fewest < FEWEST_STEADY_TOKENS) {
    throw new ApartError(
      `A sequence got ${fewest} tokens while all ${timesMs.length} decoded; it takes ${FEWEST_STEADY_TOKENS}.`,
    );
  }
  const rates = steady.map((of) => ((of.length - 1) * 1_000) / (of.at(-1)! - of[0]!));
  const tokensBefore = steady.flatMap((of, s) => of.slice(1).map((_, i) => skipped[s]! + i + 1));
  return {
    tokensPerSecond: rates.reduce((sum, rate) => sum + rate, 0),
    gapsMs: steady.flatMap((of) => of.slice(1).map((ms, i) => ms - of[i]!)),
    meanTokensBefore: tokensBefore.reduce((sum, count) => sum + count, 0) / tokensBefore.length,
  };
}

/** What repetitions of one measurement gave. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export const summarise = (values: readonly number[]): Summary => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
});

/** Percentiles that users of a service look at. */
export const p50p99 = (values: readonly number[]): { readonly p50Ms: number; readonly p99Ms: number } => ({
  p50Ms: percentile(values, 0.5),
  p99Ms: percentile(values, 0.99),
});
