import type { ActivationTrace } from '../placement/trace.ts';
import type { Placement } from '../scheduler/layout.ts';
import { isEmptied } from './transition.ts';

/** `[layers][E]`: activations of each expert in a trace, one per row that was routed to it. */
export type ActivationCounts = readonly (readonly number[])[];

/** When traffic that has changed is worth another placement, and how much of it may change at once. */
export interface DriftLimits {
  /** From this drift on the placement is planned anew, until it is planned for the traffic or the drift is below `end` again. */
  readonly start: number;
  readonly end: number;
  /** Activations that a trace needs in each layer before it says anything. */
  readonly leastActivations: number;
  /** Two plans are at least so far apart. */
  readonly leastIntervalMs: number;
  /** Replicas that one plan moves at most. */
  readonly mostMoves: number;
}

export const DRIFT_LIMITS: DriftLimits = {
  start: 0.15,
  end: 0.08,
  leastActivations: 2_048,
  leastIntervalMs: 60_000,
  mostMoves: 32,
};

/** What is kept from one look at the traffic to the next. JSON-serialisable. */
export interface DriftState {
  /** Unix time in milliseconds of the last look, and of the last plan. */
  readonly lookedAtMs: number;
  readonly plannedAtMs: number;
  /** Traffic that the placement was planned for; null where it was made for experts that are all alike. */
  readonly plannedFor: ActivationCounts | null;
  /** `seatsOf` the placement that was planned last; null where none was. */
  readonly seats: string | null;
  /** Version that was published as wanted; null where there was nothing to move. */
  readonly wanted: number | null;
  /** Whether the traffic has left what the placement was planned for, and another plan is to follow. */
  readonly isDrifting: boolean;
}

export const NEVER_PLANNED: DriftState = {
  lookedAtMs: 0,
  plannedAtMs: 0,
  plannedFor: null,
  seats: null,
  wanted: null,
  isDrifting: false,
};

/** What a decision is made from. */
export interface DriftSituation {
  readonly nowMs: number;
  readonly state: DriftState;
  /** Of the traffic of late. */
  readonly counts: ActivationCounts;
  readonly inForce: Placement;
}

/** Whether to plan a placement now, and why, in words and numbers. */
export interface DriftDecision {
  readonly plans: boolean;
  readonly reason: string;
  readonly state: DriftState;
}

/**
 * Decides whether the placement is to be planned anew: where the traffic has drifted from what it was planned for, the
 * instances that it uses are others, or what was planned last was given up. Small changes come to nothing, and of great ones
 * as many plans follow, each within its bound and after its pause, as it takes to move what is worth moving.
 */
export function decideDrift(situation: DriftSituation, limits: DriftLimits = DRIFT_LIMITS): DriftDecision {
  const { nowMs, counts, inForce } = situation;
  const state = { ...situation.state, lookedAtMs: nowMs };
  const fewest = Math.min(...counts.map(total));
  if (fewest < limits.leastActivations) {
    return { plans: false, reason: `${fewest} activations of a layer are too few to tell`, state };
  }
  const drift = activationDrift(counts, state.plannedFor);
  const isDrifting = drift >= (state.isDrifting ? limits.end : limits.start);
  const isOtherwise = state.seats !== null && state.seats !== seatsOf(inForce);
  const isGivenUp = state.wanted !== null && inForce.version < state.wanted;
  const reason = isOtherwise
    ? 'the expert instances in use are others than were planned for'
    : isGivenUp
      ? `version ${state.wanted} was planned and given up`
      : `the activation distribution has drifted by ${drift.toFixed(3)}`;
  const isDue = nowMs - state.plannedAtMs >= limits.leastIntervalMs;
  return {
    plans: isDue && (isDrifting || isOtherwise || isGivenUp),
    reason,
    state: { ...state, isDrifting },
  };
}

/**
 * What is kept after a plan.
 *
 * @param moves replicas that it moves; as many as a plan may move say that another one is to follow
 * @param wanted version that was published; null where there was nothing to move
 */
export function afterPlan(
  { nowMs, state, counts, inForce }: DriftSituation,
  moves: number,
  wanted: number | null,
  limits: DriftLimits = DRIFT_LIMITS,
): DriftState {
  const planned = { ...state, lookedAtMs: nowMs, plannedAtMs: nowMs, seats: seatsOf(inForce), wanted };
  if (moves >= limits.mostMoves) return { ...planned, isDrifting: true };
  return { ...planned, plannedFor: counts, isDrifting: false };
}

/** Names the instances that `placement` uses. */
export const seatsOf = (placement: Placement): string =>
  placement.instances
    .filter(({ id }) => !isEmptied(placement, id))
    .map(({ id, host }) => `${id}:${host}`)
    .join();

export function countActivations(trace: ActivationTrace): ActivationCounts {
  return Array.from({ length: trace.shape.layers }, (_, layer) => {
    const counts = Array.from({ length: trace.shape.experts }, () => 0);
    for (const expert of trace.window(layer)) counts[expert]! += 1;
    return counts;
  });
}

/**
 * How far two distributions of activations are apart: the total variation distance, a mean over the layers, less what two
 * samples of one distribution are apart by chance. 0 where they are the same, 1 where they have no expert in common.
 *
 * @param before null: all experts alike
 */
export function activationDrift(now: ActivationCounts, before: ActivationCounts | null): number {
  const perLayer = now.map((counts, layer) => layerDrift(counts, before?.[layer] ?? null));
  return perLayer.reduce((sum, drift) => sum + drift, 0) / perLayer.length;
}

function layerDrift(now: readonly number[], before: readonly number[] | null): number {
  const totalNow = total(now);
  const totalBefore = before === null ? Number.POSITIVE_INFINITY : total(before);
  if (totalNow === 0 || totalBefore === 0) return 0;
  let distance = 0;
  let byChance = 0;
  for (const [expert, count] of now.entries()) {
    const share = count / totalNow;
    const shareBefore = before === null ? 1 / now.length : before[expert]! / totalBefore;
    distance += Math.abs(share - shareBefore) / 2;
    const mean = (share + shareBefore) / 2;
    byChance += meanDeviation(mean * (1 - mean) * (1 / totalNow + 1 / totalBefore)) / 2;
  }
  return Math.max(0, distance - byChance);
}

/** Mean absolute deviation of a normal distribution of this variance. */
const meanDeviation = (variance: number): number => Math.sqrt((2 / Math.PI) * variance);

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
