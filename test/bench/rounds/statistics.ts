import { type Summary, summarise } from '../peer/measure/decode-times.ts';

/**
 * `values / bases`, round by round: what disturbed a whole round disturbed both and leaves their ratio.
 *
 * @param values of each round
 * @param bases of the same rounds
 * @throws RangeError when there are not as many of both
 */
export function pairedRatio(values: readonly number[], bases: readonly number[]): Summary {
  if (values.length !== bases.length) {
    throw new RangeError(`${values.length} values have no ratio to ${bases.length} others.`);
  }
  return summarise(values.map((value, round) => value / bases[round]!));
}

/**
 * Slope of the straight line nearest to the points, by least squares.
 *
 * @throws RangeError when the points lie at fewer than two places
 */
export function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(xs), mean(ys)];
  const spread = xs.reduce((sum, x) => sum + (x - meanX) ** 2, 0);
  if (!(spread > 0)) throw new RangeError('A line through fewer than two places has no slope.');
  return xs.reduce((sum, x, i) => sum + (x - meanX) * (ys[i]! - meanY), 0) / spread;
}
