import { JanusError } from '../errors/janus-error.ts';

/** One measurement: what a cost depends on, and the cost. */
export interface Measurement {
  /** [features] */
  readonly features: readonly number[];
  readonly value: number;
  /** How much it counts; 1 when absent. */
  readonly weight?: number;
  /** What an error counts relative to, the value itself when absent; needed where the value may be 0 or below. */
  readonly relativeTo?: number;
}

/** How well a fit says again what was measured. */
export interface FitQuality {
  readonly measurements: number;
  /** Mean of |predicted − measured| ÷ measured. */
  readonly meanRelativeError: number;
  readonly mostRelativeError: number;
  /** Share of the variance that the fit explains. */
  readonly rSquared: number;
}

export interface Fit {
  /** [features], none negative. */
  readonly coefficients: readonly number[];
  readonly quality: FitQuality;
}

/** Rounds over all coefficients: far more than a handful of features needs. */
const MOST_ROUNDS = 2_000;
/** Relative change of the largest step below which a round ends the search. */
const STILL = 1e-10;

/**
 * Least squares with coefficients that are never negative, since no cost is. Errors count relative to what was measured, so that
 * small measurements are as well met as large ones.
 *
 * Source: coordinate descent on the normal equations; the problem is convex, so it finds the one minimum.
 *
 * @throws JanusError when there are no measurements, or one's errors count relative to what is not positive
 */
export function fitNonNegative(measurements: readonly Measurement[]): Fit {
  const [first] = measurements;
  if (first === undefined) throw new JanusError('The fit has no measurements: measure at least one');
  const count = first.features.length;
  const normal = Array.from({ length: count }, () => new Float64Array(count));
  const target = new Float64Array(count);
  for (const { features, value, weight = 1, relativeTo = value } of measurements) {
    if (!(relativeTo > 0)) throw new JanusError(`A measurement is ${relativeTo}: a cost is above 0`);
    const scale = weight / (relativeTo * relativeTo);
    for (let row = 0; row < count; row += 1) {
      target[row] += scale * features[row]! * value;
      for (let column = 0; column < count; column += 1) {
        normal[row]![column] += scale * features[row]! * features[column]!;
      }
    }
  }
  const coefficients = descend(normal, target);
  const pairs = measurements.map(({ features, value, relativeTo = value }) => {
    return { predicted: predicted(coefficients, features), value, relativeTo };
  });
  return { coefficients: Array.from(coefficients), quality: qualityOf(pairs) };
}

function descend(normal: readonly Float64Array[], target: Float64Array): Float64Array {
  const coefficients = new Float64Array(target.length);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    let moved = 0;
    for (let row = 0; row < target.length; row += 1) {
      const diagonal = normal[row]![row]!;
      if (diagonal === 0) continue;
      let rest = target[row]!;
      for (let column = 0; column < target.length; column += 1) {
        if (column !== row) rest -= normal[row]![column]! * coefficients[column]!;
      }
      const next = Math.max(0, rest / diagonal);
      moved = Math.max(moved, Math.abs(next - coefficients[row]!) * Math.sqrt(diagonal));
      coefficients[row] = next;
    }
    if (moved < STILL) break;
  }
  return coefficients;
}

/** The value that a fit predicts. */
export const predicted = (coefficients: ArrayLike<number>, features: readonly number[]): number =>
  features.reduce((sum, feature, index) => sum + feature * coefficients[index]!, 0);

/** What a fit says, and what was measured. */
export interface Predicted {
  readonly predicted: number;
  readonly value: number;
  /** As in `Measurement`. */
  readonly relativeTo?: number;
}

/** @param pairs at least one; what errors count relative to is above 0 */
export function qualityOf(pairs: readonly Predicted[]): FitQuality {
  const mean = pairs.reduce((sum, { value }) => sum + value, 0) / pairs.length;
  let relative = 0;
  let most = 0;
  let squares = 0;
  let variance = 0;
  for (const pair of pairs) {
    const error = Math.abs(pair.predicted - pair.value);
    const relativeError = error / (pair.relativeTo ?? pair.value);
    relative += relativeError;
    most = Math.max(most, relativeError);
    squares += error ** 2;
    variance += (pair.value - mean) ** 2;
  }
  return {
    measurements: pairs.length,
    meanRelativeError: relative / pairs.length,
    mostRelativeError: most,
    rSquared: variance === 0 ? Number(squares === 0) : 1 - squares / variance,
  };
}
