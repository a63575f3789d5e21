import { unknownExpert } from './limits.ts';

/**
 * Counts the pairs of each expert.
 *
 * @param pairs Number of leading entries of `expertIds` that count.
 * @param counts [≥ experts]: set to the number of pairs of each expert.
 * @throws JanusError for an expert id out of range.
 */
export function countPairs(
  expertIds: Int32Array,
  pairs: number,
  topK: number,
  experts: number,
  counts: Int32Array,
): void {
  counts.fill(0, 0, experts);
  const last = experts - 1;
  // One number takes up the sign of every id and of its distance from the last one, so that a bad id shows after the loop,
  // which needs no way out at every id. A write out of range has no effect.
  let signs = 0;
  for (let pair = 0; pair < pairs; pair += 1) {
    const expert = expertIds[pair];
    signs |= expert | (last - expert);
    counts[expert] += 1;
  }
  if (signs < 0) throw unknownExpert(expertIds, pairs, topK, experts);
}
