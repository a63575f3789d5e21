import type { PlannedDemand } from './demand-window.ts';
import type { PoolSizes, Solution, SolvedSize } from './solver.ts';

/** Bounds of what a scaler does. */
export interface ScalingLimits {
  /** Sizes are chosen for the demand times this, so that the target holds when it grows while instances start. */
  readonly headroom: number;
  /** Scaling down needs this much more demand to fit the smaller size, at least `headroom`. */
  readonly downHeadroom: number;
  /** So long no smaller size is taken after any change. */
  readonly downCooldownMs: number;
  /** So long in a row a smaller size must have been enough. */
  readonly downAfterMs: number;
  /** A change that is not done after this time counts as done, so that one which hangs does not stop all others. */
  readonly changeLimitMs: number;
  /** Without any demand for this long the floor is enough. */
  readonly idleMs: number;
  /** What an idle model keeps. */
  readonly floor: PoolSizes;
}

export const SCALING_LIMITS: ScalingLimits = {
  headroom: 1.15,
  downHeadroom: 1.35,
  downCooldownMs: 60_000,
  downAfterMs: 45_000,
  changeLimitMs: 120_000,
  idleMs: 600_000,
  floor: { attention: 1, experts: 1 },
};

/** What the scaler keeps from one decision to the next. JSON-serialisable. */
export interface ScalerState {
  /** Wanted sizes. */
  readonly wanted: PoolSizes;
  /** Unix time in milliseconds of the last change of `wanted`. */
  readonly changedAtMs: number;
  /** Since when a smaller size has been enough without a break; null when it is not. */
  readonly smallerSinceMs: number | null;
  /** When there was last any demand. */
  readonly askedAtMs: number;
}

/** What a decision is made from. */
export interface ScalingSituation {
  readonly nowMs: number;
  readonly state: ScalerState;
  /** Instances that serve. */
  readonly ready: PoolSizes;
  readonly demand: PlannedDemand | null;
  /** When there was last any demand; null: not within the window. */
  readonly askedAtMs: number | null;
  /** What the solver finds for a multiple of the demand. */
  readonly solve: (headroom: number) => Solution;
  /** The largest allowed sizes. */
  readonly most: PoolSizes;
}

export type ScalingAction = 'up' | 'down' | 'stay';

/** A decision, and what it was made from, for a human to read. JSON-serialisable. */
export interface ScalingDecision {
  readonly action: ScalingAction;
  readonly state: ScalerState;
  /** Why, in words and numbers. */
  readonly reason: string;
}

/**
 * Decides on the sizes of both pools: up at once; down only when a size with margin has been enough for a while and the last
 * change is some time ago; nothing while a change is under way. A pool that should grow grows also where the other should
 * shrink, which then waits.
 */
export function decide(situation: ScalingSituation, limits: ScalingLimits = SCALING_LIMITS): ScalingDecision {
  const { nowMs, state, demand } = situation;
  const askedAtMs = Math.max(state.askedAtMs, situation.askedAtMs ?? 0);
  const kept = { ...state, askedAtMs };
  const underWay = changeUnderWay(situation, limits);
  if (underWay !== null)
    return { action: 'stay', state: { ...kept, smallerSinceMs: null }, reason: underWay };
  // The long window remembers for longer than a model may have to be idle.
  if (demand === null || nowMs - askedAtMs >= limits.idleMs) return decideIdle(situation, kept, limits);
  const solved = situation.solve(limits.headroom);
  const size = solved.best ?? solved.nearest;
  const meets = solved.best === null ? 'no size meets the target; the nearest is' : 'needs';
  const { wanted } = state;
  if (size === null) {
    const why = `${describeDemand(demand)}; no allowed size keeps up with it`;
    if (exceeds(situation.most, wanted))
      return change('up', kept, larger(situation.most, wanted), nowMs, why);
    const reason = `${why}; ${name(wanted)} is the largest allowed`;
    return { action: 'stay', state: { ...kept, smallerSinceMs: null }, reason };
  }
  const why = `${describeDemand(demand)}; with ${percent(limits.headroom - 1)} headroom it ${meets} ${describeSize(size)}`;
  if (exceeds(size, wanted)) return change('up', kept, larger(size, wanted), nowMs, why);
  return decideDown(situation, kept, limits, why);
}

const exceeds = (size: PoolSizes, than: PoolSizes): boolean =>
  size.attention > than.attention || size.experts > than.experts;

const larger = (a: PoolSizes, b: PoolSizes): PoolSizes => ({
  attention: Math.max(a.attention, b.attention),
  experts: Math.max(a.experts, b.experts),
});

/** A change is under way until as many instances serve as are wanted. */
function changeUnderWay({ nowMs, state, ready }: ScalingSituation, limits: ScalingLimits): string | null {
  const { wanted, changedAtMs } = state;
  if (ready.attention === wanted.attention && ready.experts === wanted.experts) return null;
  const ageMs = nowMs - changedAtMs;
  if (ageMs > limits.changeLimitMs) return null;
  return (
    `${name(ready)} serve, ${name(wanted)} are wanted since ${seconds(ageMs)}: one change at a time ` +
    `(given up after ${seconds(limits.changeLimitMs)})`
  );
}

function decideIdle(
  { nowMs }: ScalingSituation,
  state: ScalerState,
  { idleMs, floor }: ScalingLimits,
): ScalingDecision {
  const idleForMs = nowMs - state.askedAtMs;
  const { wanted } = state;
  const isAtFloor = wanted.attention <= floor.attention && wanted.experts <= floor.experts;
  if (isAtFloor) return { action: 'stay', state, reason: `No demand; ${name(wanted)} is the floor` };
  if (idleForMs < idleMs) {
    const reason = `No demand since ${seconds(idleForMs)}; after ${seconds(idleMs)} the floor of ${name(floor)} is enough`;
    return { action: 'stay', state, reason };
  }
  const next = {
    attention: Math.min(wanted.attention, floor.attention),
    experts: Math.min(wanted.experts, floor.experts),
  };
  return change('down', state, next, nowMs, `No demand since ${seconds(idleForMs)}`);
}

function decideDown(
  { nowMs, solve }: ScalingSituation,
  state: ScalerState,
  limits: ScalingLimits,
  why: string,
): ScalingDecision {
  const { wanted } = state;
  const size = solve(limits.downHeadroom).best;
  const stay = (smallerSinceMs: number | null, reason: string): ScalingDecision => ({
    action: 'stay',
    state: { ...state, smallerSinceMs },
    reason: `${why}; ${reason}`,
  });
  const isSmaller =
    size !== null &&
    size.attention <= wanted.attention &&
    size.experts <= wanted.experts &&
    size.attention + size.experts < wanted.attention + wanted.experts;
  if (!isSmaller)
    return stay(
      null,
      `${name(wanted)} stays: with ${percent(limits.downHeadroom - 1)} more nothing smaller does`,
    );
  const smallerSinceMs = state.smallerSinceMs ?? nowMs;
  const enoughForMs = nowMs - smallerSinceMs;
  const quietForMs = nowMs - state.changedAtMs;
  if (enoughForMs < limits.downAfterMs || quietForMs < limits.downCooldownMs) {
    return stay(
      smallerSinceMs,
      `${name(size)} would be enough with ${percent(limits.downHeadroom - 1)} more since ${seconds(enoughForMs)} ` +
        `(of ${seconds(limits.downAfterMs)}), and the last change was ${seconds(quietForMs)} ago (of ${seconds(limits.downCooldownMs)})`,
    );
  }
  return change(
    'down',
    state,
    size,
    nowMs,
    `${why}; ${describeSize(size)} has been enough for ${seconds(enoughForMs)}`,
  );
}

function change(
  action: 'up' | 'down',
  state: ScalerState,
  { attention, experts }: PoolSizes,
  nowMs: number,
  why: string,
): ScalingDecision {
  const wanted = { attention, experts };
  return {
    action,
    state: { ...state, wanted, changedAtMs: nowMs, smallerSinceMs: null },
    reason: `${why}: ${action} from ${name(state.wanted)} to ${name(wanted)}`,
  };
}

const name = ({ attention, experts }: PoolSizes): string => `${attention}A${experts}E`;
const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
const percent = (share: number): string => `${Math.round(100 * share)}%`;

const describeDemand = ({ tokensPerSecond, context, from, answer }: PlannedDemand): string =>
  `${tokensPerSecond.toFixed(1)} tokens/s (${from} window) in answers of ${Math.round(answer.tokens)} ± ` +
  `${Math.round(answer.variation * answer.tokens)} tokens at a mean context of ${Math.round(context)} tokens`;

const describeSize = (size: SolvedSize): string =>
  `${name(size)} (batch ${size.batch.toFixed(1)}, a_max ${size.aMax.toFixed(1)}, TPOT ${size.tpot.totalMs.toFixed(1)} ms)`;
