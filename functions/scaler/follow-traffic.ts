import type { Redis } from 'ioredis';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import { decodeTraces } from '../../shared/placement/trace-codec.ts';
import { activationTraceKey, driftStateKey, placementKey } from '../../shared/protocol/keys.ts';
import {
  afterPlan,
  countActivations,
  DRIFT_LIMITS,
  type DriftState,
  decideDrift,
  NEVER_PLANNED,
} from '../../shared/replacement/drift.ts';
import {
  TAKE_VERSION,
  transitionKeys,
  versionKeys,
  WANT,
  wantArguments,
} from '../../shared/replacement/placement-scripts.ts';
import { planForTraffic } from '../../shared/replacement/plan-for-traffic.ts';
import { servingHosts } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { ask } from '../dispatcher/ask.ts';
import type { PoolStatus } from '../dispatcher/pool-reader.ts';

/** Time between two looks at the traffic of a model: attention hosts store it every 5 s. */
export const TRAFFIC_LOOK_MS = 10_000;
/** One seed, so that several scalers plan the same. */
const PLAN_SEED = 1;

/** What a look at the traffic came to. */
export type TrafficOutcome =
  /** Published as wanted: the hosts load it, and it comes in force when all of them have. */
  | { readonly kind: 'wanted'; readonly version: number; readonly moves: number; readonly reason: string }
  /** The placement stays: it fits the traffic, its time has not come, or nothing is worth a move. */
  | { readonly kind: 'kept'; readonly reason: string }
  /** There is nothing to look at: it was looked at just now, a placement is on its way, or there is no traffic. */
  | { readonly kind: 'skipped' }
  /** Another placement was faster. */
  | { readonly kind: 'raced' };

/**
 * Looks at the traffic of one model, and has a placement planned for it follow the one in force where that is due. It keeps
 * nothing itself, and several at once do what one does, since only one placement at a time may be on its way.
 *
 * @throws {DispatchError} `broker`
 * @throws JanusError when the stored traffic is broken or of another model
 */
export async function followTraffic(redis: Redis, pool: PoolStatus, nowMs: number): Promise<TrafficOutcome> {
  const { model } = pool;
  if (pool.placement === null || pool.placement.wantedAtMs !== undefined) return { kind: 'skipped' };
  const seen = await readTraffic(redis, pool, nowMs);
  if (seen === null) return { kind: 'skipped' };
  const { inForce, trace } = seen;
  const situation = { nowMs, state: seen.state, counts: countActivations(trace), inForce };
  const { plans, reason, state } = decideDrift(situation);
  const keep = (next: DriftState) => ask(redis.set(driftStateKey(model), JSON.stringify(next)));
  if (!plans) {
    await keep(state);
    return { kind: 'kept', reason };
  }
  const { placement, moves } = planForTraffic(inForce, trace, DRIFT_LIMITS.mostMoves, PLAN_SEED);
  if (moves === 0) {
    await keep(afterPlan(situation, 0, null));
    return { kind: 'kept', reason: `${reason}, but nothing is worth a move` };
  }
  const version = await publishWanted(redis, placement, inForce.version);
  if (version === null) return { kind: 'raced' };
  await keep(afterPlan(situation, moves, version));
  return { kind: 'wanted', version, moves, reason };
}

interface Traffic {
  readonly state: DriftState;
  readonly inForce: Placement;
  readonly trace: ActivationTrace;
}

/** Null where it was read just now, there is none, or a host of the placement is gone, for which hosts themselves make another. */
async function readTraffic(redis: Redis, pool: PoolStatus, nowMs: number): Promise<Traffic | null> {
  const { model, hosts } = pool;
  const [kept, stored] = await ask(redis.mget(driftStateKey(model), placementKey(model)));
  const state = kept == null ? NEVER_PLANNED : (JSON.parse(kept) as DriftState);
  if (stored == null || nowMs - state.lookedAtMs < TRAFFIC_LOOK_MS) return null;
  const inForce = JSON.parse(stored) as Placement;
  const living = new Set(hosts.map(({ host }) => host));
  if (!servingHosts(inForce).every((host) => living.has(host))) return null;
  const trace = decodeTraces(await ask(redis.hgetallBuffer(activationTraceKey(model))));
  return trace && { state, inForce, trace };
}

/** @returns its version; null where `from` is not in force any more, or another placement is on its way */
async function publishWanted(redis: Redis, planned: Placement, from: number): Promise<number | null> {
  const { model } = planned;
  const counter = versionKeys(model);
  const version = (await ask(redis.eval(TAKE_VERSION, counter.length, ...counter))) as number;
  const keys = transitionKeys(model);
  const wanted = wantArguments({ ...planned, version }, from);
  return (await ask(redis.eval(WANT, keys.length, ...keys, ...wanted))) === 1 ? version : null;
}
