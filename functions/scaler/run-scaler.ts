import type { Redis } from 'ioredis';
import type { HostRecord } from '../../shared/protocol/member.ts';
import type {
  PerformanceProfile,
  ScalerDecision,
  ScalerRecord,
  ScalingTarget,
  WantedSizes,
} from '../../shared/protocol/scaling.ts';
import { type AMaxTable, lookUpAMax } from '../../shared/scaling/a-max-table.ts';
import { meanVariation } from '../../shared/scaling/attention-variation.ts';
import {
  decide,
  type ScalerState,
  type ScalingDecision,
  type ScalingLimits,
} from '../../shared/scaling/decide.ts';
import {
  type DemandSample,
  lastAskedAtMs,
  type PlannedDemand,
  plannedDemand,
} from '../../shared/scaling/demand-window.ts';
import { type Observation, observe } from '../../shared/scaling/observe.ts';
import { predictTpot, rowsTogether } from '../../shared/scaling/performance-model.ts';
import {
  corrected,
  correctionOf,
  driftOf,
  type Refinement,
  refine,
  UNREFINED,
} from '../../shared/scaling/refine.ts';
import {
  type FirstTokenTarget,
  leastHoldingExperts,
  type PoolSizes,
  type SizeBounds,
  type Solution,
  solve,
} from '../../shared/scaling/solver.ts';
import type { PoolStatus } from '../dispatcher/pool-reader.ts';
import { endRound, readInputs, type ScalerInputs } from './scaler-store.ts';
import { tableOf } from './traffic-table.ts';

/** Samples of the long window that are kept, whatever the interval is. */
const MOST_SAMPLES = 1_024;

/**
 * What a round did: `raced` where another scaler was faster, `unset` where no target or no profile is known, or the first hosts of a
 * model that was never scaled do not serve yet.
 */
export type RoundOutcome =
  | { readonly kind: 'decided'; readonly decision: ScalerDecision }
  | { readonly kind: 'raced' }
  | { readonly kind: 'unset'; readonly missing: 'target' | 'profile' | 'hosts' };

/**
 * One round of the scaler of one model: reads what happened, decides, and publishes the wanted sizes. It keeps nothing itself, so
 * it runs in a Worker's cron trigger as well as at an interval, and several at once do what one does.
 *
 * @throws {DispatchError} `broker`
 */
export async function runScaler(redis: Redis, pool: PoolStatus, nowMs: number): Promise<RoundOutcome> {
  const inputs = await readInputs(redis, pool.model);
  const { target, profile, record } = inputs;
  if (target === null) return { kind: 'unset', missing: 'target' };
  if (profile === null) return { kind: 'unset', missing: 'profile' };
  const isNew = record === null && inputs.wanted === null;
  if (isNew && pool.hosts.some(isStarting)) return { kind: 'unset', missing: 'hosts' };
  const table = tableOf(profile, inputs.trafficTable, target);
  const seen = observe(pool.hosts, pool.queued, nowMs, record?.counters ?? null);
  const samples = withSample(record?.samples ?? [], seen.sample, nowMs, target);
  const measured = withVariation(profile, samples);
  const refinement = nextRefinement(record, { ...measured, table }, seen);
  const correction = correctionOf(refinement);
  const demand = plannedDemand(samples, nowMs, target.window);
  const model = corrected(measured.model, correction);
  // What instances hold is theirs to tell, whatever the target says.
  const bounds: SizeBounds = { ...target.bounds, ...seen.held };
  const solveFor = (headroom: number): Solution => {
    const { tokensPerSecond = 0, context = 0 } = demand ?? {};
    return solve({
      model,
      table,
      demand: { tokensPerSecond: tokensPerSecond * headroom, context },
      tpotMs: target.tpotMs,
      ...firstTokenOf(target, demand),
      bounds,
    });
  };
  const { mostAttention, mostExperts } = bounds;
  const most = { attention: mostAttention, experts: mostExperts };
  const state = record?.state ?? firstState(inputs, seen.ready, nowMs);
  const decided = decide(
    { nowMs, state, ready: seen.ready, demand, askedAtMs: lastAskedAtMs(samples), solve: solveFor, most },
    limitsOf(target, table, bounds),
  );
  const decision: ScalerDecision = {
    atMs: nowMs,
    action: decided.action,
    wanted: decided.state.wanted,
    ready: seen.ready,
    reason: decided.reason,
    correction,
    drift: driftOf(refinement),
  };
  const counts = await endRound(redis, pool.model, {
    from: record?.version ?? 0,
    record: {
      version: (record?.version ?? 0) + 1,
      state: decided.state,
      counters: seen.counters,
      samples,
      refinement,
      profiledAtMs: profile.measuredAtMs,
    },
    wanted: nextWanted(inputs, decided, nowMs),
    decision,
  });
  return counts ? { kind: 'decided', decision } : { kind: 'raced' };
}

/** A floor with fewer expert instances than hold all experts would be none, unless it is to be none. */
function limitsOf(
  { limits }: ScalingTarget,
  table: AMaxTable,
  { expertSlotsPerInstance }: SizeBounds,
): ScalingLimits {
  const { floor } = limits;
  if (floor.attention === 0 && floor.experts === 0) return limits;
  const experts = Math.max(floor.experts, leastHoldingExperts(table, expertSlotsPerInstance));
  return { ...limits, floor: { ...floor, experts } };
}

/** Waits for a slot count only where a time to first token is wanted. */
function firstTokenOf(
  { ttftMs }: ScalingTarget,
  demand: PlannedDemand | null,
): { readonly firstToken?: FirstTokenTarget } {
  if (ttftMs === undefined || demand === null) return {};
  const { tokens, variation } = demand.answer;
  return { firstToken: { ttftMs, tokensPerSequence: tokens, tokensVariation: variation } };
}

/** A host with attention shows no such instance before it has its experts. */
const isStarting = ({ role, attention, experts }: HostRecord): boolean =>
  (role !== 'experts' && attention.length === 0) ||
  [...attention, ...experts].some(({ state }) => state === 'starting' || state === 'loading');

/** A model that was never scaled is taken as it is. */
const firstState = ({ wanted }: ScalerInputs, ready: PoolSizes, nowMs: number): ScalerState => ({
  wanted: wanted === null ? ready : { attention: wanted.attention, experts: wanted.experts },
  changedAtMs: 0,
  smallerSinceMs: null,
  askedAtMs: nowMs,
});

function withSample(
  samples: readonly DemandSample[],
  sample: DemandSample | null,
  nowMs: number,
  { window }: ScalingTarget,
): DemandSample[] {
  const kept = samples.filter(({ atMs }) => atMs > nowMs - window.longMs);
  return [...kept, ...(sample === null ? [] : [sample])].slice(-MOST_SAMPLES);
}

/** The profile with how much attention instances differed within the window, where several computed in it. */
function withVariation(profile: PerformanceProfile, samples: readonly DemandSample[]): PerformanceProfile {
  const variation = meanVariation(samples.map(({ attentionVariation }) => attentionVariation));
  if (variation === null) return profile;
  return { ...profile, model: { ...profile.model, attentionVariation: variation } };
}

/** What is measured is compared with what the profile says of the same load; a new profile begins anew. */
function nextRefinement(
  record: ScalerRecord | null,
  { model, table, measuredAtMs }: PerformanceProfile,
  { decoding, ready }: Observation,
): Refinement {
  const before = record?.profiledAtMs === measuredAtMs ? record.refinement : UNREFINED;
  const { attention } = ready;
  // The table tells of no fewer instances than hold all experts.
  const experts = Math.max(ready.experts, table.instances[0]!);
  if (decoding === null || attention === 0) return before;
  const { batch, context, stepMs } = decoding;
  const aMax = lookUpAMax(table, experts, rowsTogether(model, attention, batch));
  const predicted = predictTpot(model, { attention, experts, batch, context, aMax });
  return refine(before, predicted.totalMs, stepMs);
}

/** Published when they change, and the first time. */
function nextWanted({ wanted }: ScalerInputs, decided: ScalingDecision, nowMs: number): WantedSizes | null {
  if (decided.action === 'stay' && wanted !== null) return null;
  return {
    version: (wanted?.version ?? 0) + 1,
    ...decided.state.wanted,
    atMs: nowMs,
    reason: decided.reason,
  };
}
