import type { ContentionCost, PerformanceModel } from './performance-model.ts';

/** Share of its weight that a measurement keeps when the next one comes: some thirty count. */
const MEMORY = 0.97;
/** Measurements that the profile counts as, so that the first few do not throw it over. */
const PRIOR_WEIGHT = 5;
/** A correction beyond this says that the model is wrong, not slow: it is to be profiled anew. */
const MOST_CORRECTION = 4;

/** Fading sums over r = predicted ÷ measured TPOT. JSON-serialisable. */
export interface Refinement {
  readonly weight: number;
  /** Σ w·r */
  readonly ratios: number;
  /** Σ w·r² */
  readonly squares: number;
}

/** The profile as it is. */
export const UNREFINED: Refinement = { weight: PRIOR_WEIGHT, ratios: PRIOR_WEIGHT, squares: PRIOR_WEIGHT };

/** Takes a measurement into account. @param predictedMs by the model without a correction */
export function refine(before: Refinement, predictedMs: number, measuredMs: number): Refinement {
  if (!(predictedMs > 0) || !(measuredMs > 0)) return before;
  const ratio = predictedMs / measuredMs;
  return {
    weight: MEMORY * before.weight + 1,
    ratios: MEMORY * before.ratios + ratio,
    squares: MEMORY * before.squares + ratio ** 2,
  };
}

/** What predicted times are to be multiplied by: least squares of predicted against measured TPOT, relative to the latter. */
export function correctionOf({ ratios, squares }: Refinement): number {
  return Math.min(MOST_CORRECTION, Math.max(1 / MOST_CORRECTION, ratios / squares));
}

/** How far the model is off without its correction: root mean square of the relative errors. */
export function driftOf({ weight, ratios, squares }: Refinement): number {
  return Math.sqrt(Math.max(0, (squares - 2 * ratios + weight) / weight));
}

/** Parts of a contention that are shares and factors, not times. */
const RATIOS: ReadonlySet<string> = new Set<keyof ContentionCost>([
  'parallelShare',
  'crowding',
  'workFactor',
  'besideFactor',
]);

/** The model with all costs multiplied by `correction`. */
export function corrected(model: PerformanceModel, correction: number): PerformanceModel {
  const { contention } = model;
  return {
    ...model,
    attention: scaled(model.attention, correction),
    experts: scaled(model.experts, correction),
    link: scaled(model.link, correction),
    step: scaled(model.step, correction),
    ...(contention && { contention: scaled(contention, correction) }),
  };
}

function scaled<Costs extends object>(costs: Costs, factor: number): Costs {
  const entries = Object.entries(costs) as [string, number][];
  return Object.fromEntries(
    entries.map(([name, cost]) => [name, RATIOS.has(name) ? cost : cost * factor]),
  ) as Costs;
}
