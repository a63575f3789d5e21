/** Largest number of halvings: from a batch of 2^40 down to one sequence. */
const MOST_HALVINGS = 64;
/** Batches are found to this many sequences. */
const PRECISION = 0.01;

/**
 * The batch at which a deployment comes to rest under a demand: Little's law, B* = λ · TPOT(B*).
 *
 * Source: Janus (arXiv 2512.13525), steady state: f(B) = B − λ · TPOT(B) on [1, B_max] by binary search; f(1) ≥ 0 gives 1.
 *
 * @param tokensPerSecond λ, output tokens per second of all sequences
 * @param tpotMs of a batch; does not fall when the batch grows
 * @param mostBatch B_max, sequences that the deployment holds
 * @returns B*, or null when the deployment cannot keep up even with B_max sequences
 */
export function steadyBatch(
  tokensPerSecond: number,
  tpotMs: (batch: number) => number,
  mostBatch: number,
): number | null {
  const excess = (batch: number) => batch - (tokensPerSecond * tpotMs(batch)) / 1_000;
  if (excess(1) >= 0) return 1;
  if (excess(mostBatch) < 0) return null;
  let low = 1;
  let high = mostBatch;
  for (let halving = 0; halving < MOST_HALVINGS && high - low > PRECISION; halving += 1) {
    const middle = (low + high) / 2;
    if (excess(middle) < 0) low = middle;
    else high = middle;
  }
  return high;
}
