import { type AMaxTable, lookUpAMax } from './a-max-table.ts';
import { type PerformanceModel, predictTpot, rowsTogether, type TpotParts } from './performance-model.ts';
import { shareWaitingLonger } from './slot-wait.ts';
import { steadyBatch } from './steady-state.ts';

/** Share of the sequences whose first token may come later than the target says. */
const MOST_LATE = 0.01;

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
  /** Replicas per layer that one expert instance holds; C of the a_max table where absent. */
  readonly expertSlotsPerInstance?: number;
}

/** When clients want their first token. */
export interface FirstTokenTarget {
  /** Largest time to first token, in milliseconds (TTFT SLO). */
  readonly ttftMs: number;
  /** Output tokens of a sequence, on average: for so long it holds its slot. */
  readonly tokensPerSequence: number;
  /** Their coefficient of variation; 1 where absent. */
  readonly tokensVariation?: number;
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
  /** Absent: sequences may wait for a slot as long as slots are enough on average. */
  readonly firstToken?: FirstTokenTarget;
  readonly bounds: SizeBounds;
}

/** Fewest expert instances that hold all experts, of those that the table tells of. */
export function leastHoldingExperts({ experts, instances }: AMaxTable, slotsPerInstance?: number): number {
  const [least] = instances;
  if (experts === undefined || slotsPerInstance === undefined) return least!;
  return Math.max(least!, Math.ceil(experts / slotsPerInstance));
}

/** One size under the demand; null when it cannot keep up. */
export function solveSize(
  problem: Omit<SolverProblem, 'tpotMs' | 'firstToken'>,
  sizes: PoolSizes,
): SolvedSize | null {
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
 * Chooses the numbers of instances: of all sizes that keep up with the demand within the latency targets, the one with the
 * fewest instances (ties: lower TPOT, then fewer attention instances).
 *
 * Source: Janus (arXiv 2512.13525), SLO-aware resource scaling.
 */
export function solve(problem: SolverProblem): Solution {
  const { table, bounds, tpotMs } = problem;
  let best: SolvedSize | null = null;
  let nearest: SolvedSize | null = null;
  let nearestLate = 1;
  let candidates = 0;
  let stable = 0;
  const least = Math.max(bounds.leastExperts, leastHoldingExperts(table, bounds.expertSlotsPerInstance));
  for (let attention = bounds.leastAttention; attention <= bounds.mostAttention; attention += 1) {
    for (let experts = least; experts <= bounds.mostExperts; experts += 1) {
      candidates += 1;
      const solved = solveSize(problem, { attention, experts });
      if (solved === null) continue;
      stable += 1;
      const late = lateShare(problem, solved);
      if (nearest === null || isNearer(solved, late, nearest, nearestLate))
        [nearest, nearestLate] = [solved, late];
      const meets = solved.tpot.totalMs <= tpotMs && late <= MOST_LATE;
      if (meets && (best === null || isBetter(solved, best))) best = solved;
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

/** Whose first tokens are late less often, and, where those of both are in time, whose TPOT is lower. */
function isNearer(size: SolvedSize, late: number, than: SolvedSize, thanLate: number): boolean {
  const isLate = late > MOST_LATE || thanLate > MOST_LATE;
  return isLate && late !== thanLate ? late < thanLate : size.tpot.totalMs < than.tpot.totalMs;
}

/** Share of the sequences whose first token is later than its target. */
function lateShare(
  { demand, bounds, firstToken }: SolverProblem,
  { attention, batch, tpot: { totalMs } }: SolvedSize,
): number {
  if (firstToken === undefined) return 0;
  const { ttftMs, tokensPerSequence, tokensVariation } = firstToken;
  const sequences = Math.min(batch, (demand.tokensPerSecond * totalMs) / 1_000);
  // Beside its wait for a slot a first token takes the step that computes its prompt.
  const waitMs = Math.max(0, ttftMs - totalMs);
  const stays = waitMs / (tokensPerSequence * totalMs);
  return shareWaitingLonger(sequences, attention * bounds.sequencesPerAttention, stays, tokensVariation);
}
