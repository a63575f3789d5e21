import type { SequenceJob } from '../../shared/protocol/request.ts';
import { GREEDY } from '../support/generate.ts';

/**
 * A language model small enough to be computed by hand: a token depends on those before it and on every expert that its row is
 * routed to, so a token that was lost, doubled or computed without one of its experts shows in the answer.
 */
export const MODEL = 'simulated';
export const LAYERS = 2;
export const EXPERTS = 8;
export const TOP_K = 2;

const VOCABULARY = 50_000;
const LARGEST_PROMPT = 9;

/** A number of 32 bits from several. */
export function mix(...numbers: readonly number[]): number {
  let mixed = 0x2545f491;
  for (const number of numbers) {
    mixed = Math.imul(mixed ^ number, 0x9e3779b1);
    mixed ^= mixed >>> 15;
  }
  return mixed >>> 0;
}

/** What the model knows of one row: the token and where it stands. */
export const rowOf = (seed: number, index: number, token: number): number => mix(seed, index, token);

/** Writes the experts that a row is routed to in a layer. */
export function routeRow(row: number, layer: number, expertIds: Int32Array, at: number): void {
  const first = mix(row, layer) % EXPERTS;
  expertIds[at] = first;
  expertIds[at + 1] = (first + 1 + (mix(row, layer, 1) % (EXPERTS - 1))) % EXPERTS;
}

/** What an expert adds to a row. */
export const contributionOf = (row: number, layer: number, expert: number): number =>
  mix(row, layer, expert) & 0xffff;

/** The token behind a row, from the sums over its experts in each layer. */
export const tokenBehind = (row: number, sums: readonly number[]): number => mix(row, ...sums) % VOCABULARY;

export const promptOf = (seed: number): number[] =>
  Array.from({ length: 1 + (seed % LARGEST_PROMPT) }, (_, index) => mix(seed, index) % VOCABULARY);

/** The answer of a job, computed in one place. */
export function referenceAnswer({ sampling, prompt, maxTokens }: SequenceJob): number[] {
  const { seed } = sampling;
  const tokens = prompt.kind === 'tokens' ? [...prompt.ids] : [];
  const first = tokens.length;
  const expertIds = new Int32Array(TOP_K);
  while (tokens.length < first + maxTokens!) {
    const row = rowOf(seed, tokens.length - 1, tokens.at(-1)!);
    const sums = Array.from({ length: LAYERS }, (_, layer) => {
      routeRow(row, layer, expertIds, 0);
      return expertIds.reduce((sum, expert) => sum + contributionOf(row, layer, expert), 0);
    });
    tokens.push(tokenBehind(row, sums));
  }
  return tokens.slice(first);
}

/** A job with nothing but what the simulation looks at. */
export function simulatedJob(
  requestId: string,
  seed: number,
  maxTokens: number,
  doorbell: string | undefined,
): SequenceJob {
  return {
    requestId,
    model: MODEL,
    choice: 0,
    prompt: { kind: 'tokens', ids: promptOf(seed) },
    sampling: { ...GREEDY, seed, ignoreEndOfSequence: true },
    maxTokens,
    acceptedAtMs: 0,
    ...(doorbell !== undefined && { doorbell }),
  };
}
