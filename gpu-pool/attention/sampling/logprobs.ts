import { argmax, selectLargest } from './selection.ts';

/** Stands for log probabilities below it and for -Infinity, which JSON cannot hold. OpenAI's API reports the same number. */
export const LOWEST_LOGPROB = -9999;

export interface RankedLogprob {
  readonly id: number;
  readonly logprob: number;
}

export interface RawLogprobs {
  /** Log probability of the chosen token. */
  readonly logprob: number;
  /** The most probable tokens, best first, the lowest id first among equals. */
  readonly top: readonly RankedLogprob[];
}

/**
 * Log probabilities under the model's own distribution, before bias, penalties and temperature. It allocates its result, and
 * is for sequences that asked for it only.
 *
 * @param logits `[V]`, the model's
 * @param top number of most probable tokens to report; at most V are
 * @throws JanusError if the logits hold NaN or no finite maximum
 */
export function rawLogprobs(logits: Float32Array, chosenId: number, top: number): RawLogprobs {
  const largest = logits[argmax(logits)];
  let mass = 0;
  for (let id = 0; id < logits.length; id++) mass += Math.exp(logits[id] - largest);
  const logMass = Math.log(mass);
  // Two subtractions: the sum of a large logit and a small logarithm would lose the latter's digits.
  const logprob = (id: number): number => Math.max(logits[id] - largest - logMass, LOWEST_LOGPROB);
  const best = new Int32Array(Math.min(top, logits.length));
  selectLargest(logits, best.length, best);
  return { logprob: logprob(chosenId), top: Array.from(best, (id) => ({ id, logprob: logprob(id) })) };
}
