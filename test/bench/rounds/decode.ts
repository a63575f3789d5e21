import type { SequenceRequest } from '../peer/janus/http-load.ts';
import { ApartError, type DecodeTimes, decodeTimes } from '../peer/measure/decode-times.ts';

/** Tokens beyond those that are to be timed, since sequences join one after the other. */
const SPARE_TOKENS = 8;
const ATTEMPTS = 3;
const SEEDS_PER_ATTEMPT = 100;

/** Something that decodes sequences from a queue. */
export interface DecodingSystem {
  /** @returns per sequence, times of its tokens in ms since it was queued */
  innerLoop(requests: readonly SequenceRequest[]): Promise<number[][]>;
  stop(): Promise<void>;
}

/** Prompts, one per sequence. */
export type Prompts = readonly (readonly number[])[];

/**
 * Computes prompts once. A system that keeps them (`--prefix-cache-mib`) goes on behind them from then on, and all that is
 * left to measure is decoding.
 */
export async function computePrompts(system: DecodingSystem, prompts: Prompts): Promise<void> {
  await system.innerLoop(prompts.map((prompt, seed) => ({ prompt, tokens: 1, seed })));
}

/**
 * Decodes all sequences at once, and again where they hardly decoded together, which happens when a host gets some of them late.
 *
 * @param prompts that `computePrompts` was told before
 * @param tokens that each sequence decodes while all do
 * @param round other rounds choose other tokens
 * @throws ApartError when they hardly decoded together in any attempt
 */
export async function decodeTogether(
  system: DecodingSystem,
  prompts: Prompts,
  tokens: number,
  round: number,
): Promise<DecodeTimes> {
  for (let attempt = 1; ; attempt++) {
    const firstSeed = SEEDS_PER_ATTEMPT * (ATTEMPTS * (round + 2) + attempt);
    const requests = prompts.map((prompt, i) => ({
      prompt,
      tokens: tokens + SPARE_TOKENS,
      seed: firstSeed + i,
    }));
    const timesMs = await system.innerLoop(requests);
    try {
      return decodeTimes(timesMs);
    } catch (error) {
      if (!(error instanceof ApartError) || attempt === ATTEMPTS) throw error;
    }
  }
}
