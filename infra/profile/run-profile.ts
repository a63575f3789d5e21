import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { readTrace, TRACE_STORE_INTERVAL_MS } from '../../gpu-pool/host/trace-store.ts';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ActivationTrace } from '../../shared/placement/trace.ts';
import { HEARTBEAT_INTERVAL_MS, type HostRecord, type ModelCard } from '../../shared/protocol/member.ts';
import type { PerformanceProfile } from '../../shared/protocol/scaling.ts';
import { aMaxTable } from '../../shared/scaling/a-max-table.ts';
import { type Deployment, fitModel, type LoadMeasurement } from '../../shared/scaling/fit-model.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { measureSpan } from './measure-span.ts';
import { profileLoads } from './profile-loads.ts';
import { type LoadShape, SteadyLoad } from './steady-load.ts';

/** All loads together; what is left then is left out. */
const LOADS_LIMIT_MS = 90_000;
/** Longest wait for each client of a load to have its first answer. */
const SETTLE_LIMIT_MS = 8_000;
/** Times that each load is measured, for a heartbeat each; the median counts, so that a busy neighbour does not. */
const SPANS = 3;
const LEAST_LOADS = 4;
/** Hosts that have just started compute at half their speed until their code is compiled. */
const WARM_UP_MS = 6_000;
const MOST_BATCH = 256;
const SEED = 1;

export interface ProfileOptions {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly card: ModelCard;
  readonly placement: Placement;
  /** Processors that all instances share; null where each has its own. */
  readonly processors: number | null;
  /** Largest n_e that the a_max table tells of. */
  readonly mostExperts: number;
  readonly log: (line: string) => void;
}

export interface MeasuredProfile {
  readonly profile: PerformanceProfile;
  readonly loads: readonly LoadMeasurement[];
}

/**
 * Measures the performance model of a pool that runs, within two minutes: keeps loads of known batches and contexts running, and
 * fits the costs to the times that hosts publish. Other requests meanwhile make it wrong.
 *
 * @throws JanusError when a sequence fails, or too little could be measured
 */
export async function measureProfile(options: ProfileOptions): Promise<MeasuredProfile> {
  const { redis, card, placement, mostExperts, log } = options;
  const trafficTrace = await readTrace(redis, card.id);
  const hosts = await readMembers(redis, card.id);
  const attentionHosts = hosts.filter(({ attention }) => attention.length > 0);
  const slots = attentionHosts
    .flatMap(({ attention }) => attention)
    .reduce((sum, instance) => sum + instance.slots, 0);
  const shapes = profileLoads(slots, card.contextLength);
  await warmUp(options, shapes[0]!);
  const loads: LoadMeasurement[] = [];
  const untilMs = performance.now() + LOADS_LIMIT_MS;
  for (const shape of shapes) {
    if (performance.now() > untilMs) break;
    const measured = await measureLoad(options, shape);
    if (measured === null) continue;
    loads.push(measured);
    log(
      `${shape.sequences} sequences, context ${Math.round(measured.context)}: ${measured.totalMs.toFixed(2)} ms per token, ` +
        `a_max ${measured.aMax.toFixed(1)}`,
    );
  }
  if (loads.length < LEAST_LOADS) {
    throw new JanusError(
      `Only ${loads.length} loads could be measured, ${LEAST_LOADS} are needed: is the model busy or very slow?`,
    );
  }
  const trace = trafficTrace ?? (await ownTrace(redis, card.id));
  const { model, quality } = fitModel(loads, {
    layers: placement.layers.length,
    expertsPerToken: trace.shape.expertsPerToken,
    ...sharingOf(options, await readMembers(redis, card.id)),
  });
  const { capacity } = placement;
  const table = aMaxTable({ trace, capacity, mostInstances: mostExperts, mostBatch: MOST_BATCH, seed: SEED });
  return { profile: { measuredAtMs: Date.now(), model, quality, capacity, table }, loads };
}

/** How instances get in each other's way. @param hosts as they are after the loads */
function sharingOf(
  { processors }: ProfileOptions,
  hosts: readonly HostRecord[],
): Pick<Deployment, 'shared' | 'stepsApart'> {
  const helping = hosts.some(({ traffic }) => traffic.some(({ assistedGroups }) => assistedGroups > 0));
  // Only instances of one host whose experts are elsewhere send their rows together.
  const stepsApart = !hosts.some(({ role, attention }) => role === 'attention' && attention.length > 1);
  const expertsApart = hosts.every(({ role, experts }) => role !== 'both' && experts.length <= 1);
  return {
    ...(processors !== null && { shared: { count: processors, helping, expertsApart } }),
    ...(stepsApart && { stepsApart }),
  };
}

/** Where no traffic left a trace, the loads have. */
async function ownTrace(redis: Redis, model: string): Promise<ActivationTrace> {
  await sleep(TRACE_STORE_INTERVAL_MS + HEARTBEAT_INTERVAL_MS);
  const trace = await readTrace(redis, model);
  if (trace !== null) return trace;
  throw new JanusError(
    `No attention instance of ${model} has stored an activation trace: do its hosts reach this Redis?`,
  );
}

function startLoad({ dispatcher, card }: ProfileOptions, shape: LoadShape): SteadyLoad {
  const seed = SEED + shape.sequences * shape.promptTokens;
  return new SteadyLoad({ ...shape, dispatcher, model: card.id, vocabularySize: card.vocabularySize, seed });
}

/** Keeps a load running for a while without measuring it. @throws JanusError when a sequence fails */
export async function warmUp(options: ProfileOptions, shape: LoadShape): Promise<void> {
  const load = startLoad(options, shape);
  try {
    await sleep(WARM_UP_MS);
    load.check();
  } finally {
    await load.stop();
  }
}

/**
 * Measures one load; null where too little happened to tell.
 *
 * @throws JanusError when a sequence fails
 */
export async function measureLoad(
  options: ProfileOptions,
  shape: LoadShape,
): Promise<LoadMeasurement | null> {
  const { placement } = options;
  const load = startLoad(options, shape);
  try {
    await load.settle(SETTLE_LIMIT_MS);
    const measured: LoadMeasurement[] = [];
    let before = await nextRecords(options);
    for (let span = 0; span < SPANS; span++) {
      const promptTokens = load.computedPromptTokens;
      const after = await nextRecords(options);
      load.check();
      const found = measureSpan(
        { before, after },
        {
          layers: placement.layers.length,
          expertInstances: placement.instances.length,
          sequences: shape.sequences,
          promptTokens: load.computedPromptTokens - promptTokens,
          context: meanContext(after),
        },
      );
      if (found !== null) measured.push(found);
      before = after;
    }
    measured.sort((a, b) => a.totalMs - b.totalMs);
    return measured[Math.floor(measured.length / 2)] ?? null;
  } finally {
    await load.stop();
  }
}

/** Records that all hosts have written after now. */
async function nextRecords({ redis, card }: ProfileOptions): Promise<HostRecord[]> {
  await sleep(HEARTBEAT_INTERVAL_MS);
  return readMembers(redis, card.id);
}

function meanContext(hosts: readonly HostRecord[]): number {
  const attention = hosts.flatMap((host) => host.attention);
  const sequences = attention.reduce((sum, { slotsInUse }) => sum + slotsInUse, 0);
  const tokens = attention.reduce((sum, { pace }) => sum + (pace?.contextTokens ?? 0), 0);
  return sequences === 0 ? 0 : tokens / sequences;
}
