import { type AMaxTable, lookUpAMax } from './a-max-table.ts';
import { type PerformanceModel, predictTpot, rowsTogether, type TpotParts } from './performance-model.ts';
import { steadyBatch } from './steady-state.ts';

/** What clients ask of the deployment. */
export interface Demand {
  /** λ, output tokens per second. */
  readonly tokensPerSecond: number;
  /** S, mean length of a context while its sequence decodes, in tokens. */
  readonly context: number;
}

/** Numbers of instances between which the solver may choose, and what they hold. */
export interface SizeBounds {
  readonly leastAttention: number;
  readonly mostAttention: number;
  /** At least ⌈E/C⌉ is used, whatever this says. */
  readonly leastExperts: number;
  readonly mostExperts: number;
  /** Sequences that one attention instance holds. */
  readonly sequencesPerAttention: number;
}

/** Numbers of instances of both pools. */
export interface PoolSizes {
  /** n_a. */
  readonly attention: number;
  /** n_e. */
  readonly experts: number;
}

/** A size at rest under the demand. */
export interface SolvedSize extends PoolSizes {
  /** B*. */
  readonly batch: number;
  readonly aMax: number;
  readonly tpot: TpotParts;
}

/** What the solver found. */
export interface Solution {
  /** The smallest size that meets the latency target; null when none does. */
  readonly best: SolvedSize | null;
  /** Where none does: the one that keeps up with the demand at the lowest TPOT; null when none keeps up. */
  readonly nearest: SolvedSize | null;
  /** Sizes that were looked at, and those of them that keep up with the demand. */
  readonly candidates: number;
  readonly stable: number;
}

export interface SolverProblem {
  readonly model: PerformanceModel;
  readonly table: AMaxTable;
  readonly demand: Demand;
  /** Largest time per output token, in milliseconds (TPOT SLO). */
  readonly tpotMs: number;
  readonly bounds: SizeBounds;
}

/** One size under the demand; null when it cannot keep up. */
export function solveSize(problem: Omit<SolverProblem, 'tpotMs'>, sizes: PoolSizes): SolvedSize | null {
  const { model, table, demand, bounds } = problem;
  const { attention, experts } = sizes;
  const operate = (batch: number) => {
    const aMax = lookUpAMax(table, experts, rowsTogether(model, attention, batch));
    return { aMax, tpot: predictTpot(model, { attention, experts, batch, context: demand.context, aMax }) };
  };
  const mostBatch = attention * bounds.sequencesPerAttention;
  const batch = steadyBatch(demand.tokensPerSecond, (size) => operate(size).tpot.totalMs, mostBatch);
  return batch === null ? null : { attention, experts, batch, ...operate(batch) };
}

/**
 * Chooses the numbers of instances: of all sizes that keep up with the demand within the latency target, the one with the
 * fewest instances (ties: lower TPOT, then fewer attention instances).
 *
 * Source: Janus (arXiv 2512.13525), SLO-aware resource scaling.
 */
export function solve(problem: SolverProblem): Solution {
  const { table, bounds, tpotMs } = problem;
  let best: SolvedSize | null = null;
  let nearest: SolvedSize | null = null;
  let candidates = 0;
  let stable = 0;
  const least = Math.max(bounds.leastExperts, table.instances[0]!);
  for (let attention = bounds.leastAttention; attention <= bounds.mostAttention; attention += 1) {
    for (let experts = least; experts <= bounds.mostExperts; experts += 1) {
      candidates += 1;
      const solved = solveSize(problem, { attention, experts });
      if (solved === null) continue;
      stable += 1;
      if (nearest === null || solved.tpot.totalMs < nearest.tpot.totalMs) nearest = solved;
      if (solved.tpot.totalMs <= tpotMs && (best === null || isBetter(solved, best))) best = solved;
    }
  }
  return { best, nearest, candidates, stable };
}

function isBetter(size: SolvedSize, than: SolvedSize): boolean {
  const instances = size.attention + size.experts - than.attention - than.experts;
  if (instances !== 0) return instances < 0;
  if (size.tpot.totalMs !== than.tpot.totalMs) return size.tpot.totalMs < than.tpot.totalMs;
  return size.attention < than.attention;
}
