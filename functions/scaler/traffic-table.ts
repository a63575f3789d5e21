import type { Redis } from 'ioredis';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import { decodeTraces } from '../../shared/placement/trace-codec.ts';
import { activationTraceKey, trafficTableKey } from '../../shared/protocol/keys.ts';
import type { PerformanceProfile, ScalingTarget, TrafficTable } from '../../shared/protocol/scaling.ts';
import { type AMaxTable, aMaxTable } from '../../shared/scaling/a-max-table.ts';
import { ask } from '../dispatcher/ask.ts';
import type { PoolStatus } from '../dispatcher/pool-reader.ts';
import { readInputs } from './scaler-store.ts';

/** Time after which a table is made anew: what is routed changes slowly, and a large table takes a second. */
export const TABLE_AGE_MS = 60_000;
/** Without traffic the last table counts for so long. */
const TABLE_TTL_MS = 3_600_000;
/** Rows of each layer that a trace must have: the largest batches are drawn from them. */
const LEAST_ROWS = 512;
/** One seed, so that several scalers make the same. */
const SEED = 1;

/**
 * Makes the a_max table of a model from what its attention hosts saw of late, where a scaler needs one: those with a target and a
 * profile. Until then, and where there is too little traffic, the table of the profiling run counts. It keeps nothing itself, and
 * several at once do what one does.
 *
 * Source: Janus (arXiv 2512.13525), a_max estimation by Monte Carlo from the live trace.
 *
 * @returns whether a table was made
 * @throws {DispatchError} `broker`
 * @throws JanusError when the stored traffic is broken
 */
export async function followRouting(redis: Redis, { model }: PoolStatus, nowMs: number): Promise<boolean> {
  const { target, profile, trafficTable } = await readInputs(redis, model);
  if (target === null || profile === null || target.bounds.mostExperts < 2) return false;
  if (trafficTable !== null && nowMs - trafficTable.madeAtMs < TABLE_AGE_MS) return false;
  const trace = decodeTraces(await ask(redis.hgetallBuffer(activationTraceKey(model))));
  if (trace === null || !fits(trace, profile)) return false;
  const made: TrafficTable = {
    madeAtMs: nowMs,
    capacity: profile.capacity,
    table: aMaxTable({
      trace,
      capacity: profile.capacity,
      mostInstances: mostInstances(target, profile),
      mostBatch: profile.table.batches.at(-1)!,
      seed: SEED,
    }),
  };
  await ask(redis.set(trafficTableKey(model), JSON.stringify(made), 'PX', TABLE_TTL_MS));
  return true;
}

/** The table to plan with: that of the traffic where it is newer than the profile and tells of all sizes, else the profile's. */
export function tableOf(
  profile: PerformanceProfile,
  traffic: TrafficTable | null,
  target: ScalingTarget,
): AMaxTable {
  const isOfProfile = traffic?.capacity === profile.capacity && traffic.madeAtMs > profile.measuredAtMs;
  if (traffic === null || !isOfProfile) return profile.table;
  const { experts = Number.POSITIVE_INFINITY, instances } = traffic.table;
  const tellsAll = instances.at(-1)! >= Math.min(mostInstances(target, profile), experts);
  return tellsAll ? traffic.table : profile.table;
}

/** Sizes of the profile's table may be asked for too, where more expert instances serve than the target allows. */
const mostInstances = ({ bounds }: ScalingTarget, { table }: PerformanceProfile): number =>
  Math.max(bounds.mostExperts, table.instances.at(-1)!);

/** A trace of another model under the name, as while it is replaced, says nothing, nor does a short one. */
function fits(trace: ActivationTrace, { table }: PerformanceProfile): boolean {
  const { layers, experts } = trace.shape;
  const rows = Array.from({ length: layers }, (_, layer) => trace.rows(layer));
  return experts === (table.experts ?? experts) && Math.min(...rows) >= LEAST_ROWS;
}
