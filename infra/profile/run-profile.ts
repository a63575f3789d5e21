import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { readTrace, TRACE_STORE_INTERVAL_MS } from '../../gpu-pool/host/trace-store.ts';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import { HEARTBEAT_INTERVAL_MS, type HostRecord } from '../../shared/protocol/member.ts';
import type { PerformanceProfile } from '../../shared/protocol/scaling.ts';
import { aMaxTable } from '../../shared/scaling/a-max-table.ts';
import { type Deployment, fitModel, type LoadMeasurement } from '../../shared/scaling/fit-model.ts';
import { measureLoad, type RunningPool, warmUp } from './measure-load.ts';
import { profileLoads } from './profile-loads.ts';

/** All loads together; what is left then is left out. */
const LOADS_LIMIT_MS = 90_000;
const LEAST_LOADS = 4;
/** Hosts that have just started compute at half their speed until their code is compiled. */
const WARM_UP_MS = 6_000;
const MOST_BATCH = 256;
const SEED = 1;

export interface MeasuringOptions extends RunningPool {
  /** Loads of other layouts of the same model, which the costs are to fit as well. Default: none. */
  readonly earlier?: readonly LoadMeasurement[];
  /** Time for all loads together, and before them. */
  readonly limitMs?: number;
  readonly warmUpMs?: number;
  readonly log: (line: string) => void;
}

export interface ProfileOptions extends MeasuringOptions {
  /** Largest n_e that the a_max table tells of. */
  readonly mostExperts: number;
}

/** What a performance model is fitted to. */
export interface MeasuredPool {
  readonly loads: readonly LoadMeasurement[];
  readonly deployment: Deployment;
  /** Routing of what was asked before; of the loads where nothing was. */
  readonly trace: ActivationTrace;
}

export interface MeasuredProfile {
  readonly profile: PerformanceProfile;
  /** Those measured now. */
  readonly loads: readonly LoadMeasurement[];
}

/**
 * Measures the performance model of a pool that runs, within two minutes: keeps loads of known batches and contexts running, and
 * fits the costs to the times that hosts publish and clients see. Other requests meanwhile make it wrong.
 *
 * @throws JanusError when a sequence fails, or too little could be measured
 */
export async function measureProfile(options: ProfileOptions): Promise<MeasuredProfile> {
  const { placement, mostExperts, earlier = [] } = options;
  const { loads, deployment, trace } = await measurePool(options);
  const all = [...earlier, ...loads];
  const { model, quality } = fitModel(all, deployment);
  const { capacity } = placement;
  const table = aMaxTable({ trace, capacity, mostInstances: mostExperts, mostBatch: MOST_BATCH, seed: SEED });
  return { profile: { measuredAtMs: Date.now(), model, quality, capacity, table, loads: all }, loads };
}

/** The part of `measureProfile` that measures. @throws as it does */
export async function measurePool(options: MeasuringOptions): Promise<MeasuredPool> {
  const { redis, card, placement } = options;
  const trafficTrace = await readTrace(redis, card.id);
  const loads = await measureLoads(options);
  const trace = trafficTrace ?? (await storedTrace(redis, card.id));
  const deployment: Deployment = {
    layers: placement.layers.length,
    expertsPerToken: trace.shape.expertsPerToken,
    ...sharingOf(options, await readMembers(redis, card.id)),
  };
  return { loads, deployment, trace };
}

async function measureLoads(options: MeasuringOptions): Promise<LoadMeasurement[]> {
  const { redis, card, earlier = [], limitMs = LOADS_LIMIT_MS, warmUpMs = WARM_UP_MS, log } = options;
  const hosts = await readMembers(redis, card.id);
  const attention = hosts.flatMap((host) => host.attention);
  const slots = attention.reduce((sum, instance) => sum + instance.slots, 0);
  const shapes = profileLoads(slots, attention.length, card.contextLength);
  await warmUp(options, shapes[0]!, warmUpMs);
  const loads: LoadMeasurement[] = [];
  const untilMs = performance.now() + limitMs;
  for (const shape of shapes) {
    if (performance.now() > untilMs && loads.length + earlier.length >= LEAST_LOADS) break;
    const measured = await measureLoad(options, shape);
    if (measured === null) continue;
    loads.push(measured);
    log(
      `${shape.sequences} sequences, context ${Math.round(measured.context)}: ${measured.totalMs.toFixed(2)} ms per token, ` +
        `a_max ${measured.aMax.toFixed(1)}`,
    );
  }
  if (loads.length + earlier.length < LEAST_LOADS) {
    throw new JanusError(
      `Only ${loads.length} loads could be measured, ${LEAST_LOADS} are needed: is the model busy or very slow?`,
    );
  }
  return loads;
}

/** How instances get in each other's way. @param hosts as they are after the loads */
function sharingOf(
  { processors }: RunningPool,
  hosts: readonly HostRecord[],
): Pick<Deployment, 'shared' | 'queuedApart' | 'stepsApart'> {
  const helping = hosts.some(({ traffic }) => traffic.some(({ assistedGroups }) => assistedGroups > 0));
  // Only instances of one host whose experts are elsewhere send their rows together.
  const stepsApart = !hosts.some(({ role, attention }) => role === 'attention' && attention.length > 1);
  const queuedApart = hosts.every(({ role }) => role !== 'both');
  return {
    ...(processors !== null && { shared: { count: processors, helping } }),
    ...(queuedApart && { queuedApart }),
    ...(stepsApart && { stepsApart }),
  };
}

/**
 * The routing of what was asked of late.
 *
 * @throws JanusError when no instance has stored a trace after the time in which each does
 */
export async function storedTrace(redis: Redis, model: string): Promise<ActivationTrace> {
  const stored = await readTrace(redis, model);
  if (stored !== null) return stored;
  await sleep(TRACE_STORE_INTERVAL_MS + HEARTBEAT_INTERVAL_MS);
  const trace = await readTrace(redis, model);
  if (trace !== null) return trace;
  throw new JanusError(
    `No attention instance of ${model} has stored an activation trace: do its hosts reach this Redis?`,
  );
}
