import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { HEARTBEAT_INTERVAL_MS, type ModelCard } from '../../shared/protocol/member.ts';
import type { LoadMeasurement } from '../../shared/scaling/fit-model.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { measureSpan } from './measure-span.ts';
import { busyProcessors, othersBusy, type ProcessorReading, readProcessorUse } from './processor-use.ts';
import { type LoadShape, SteadyLoad } from './steady-load.ts';

/** Longest wait for each client of a load to have its first token. */
const SETTLE_LIMIT_MS = 8_000;
/** Time over which a load is measured, in heartbeats, of which hosts' counters tell. */
const WINDOW_HEARTBEATS = 3;
/** Times that it is measured, at most, until others keep fewer processors than this busy. */
const MOST_WINDOWS = 2;
const QUIET_PROCESSORS = 0.1;
const SEED = 1;

/** A pool that runs, and a client of it. */
export interface RunningPool {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly card: ModelCard;
  readonly placement: Placement;
  /** Processors that all instances share; null where each has its own. */
  readonly processors: number | null;
}

function startLoad({ dispatcher, card }: RunningPool, shape: LoadShape): SteadyLoad {
  const seed = SEED + shape.sequences * shape.promptTokens;
  return new SteadyLoad({ ...shape, dispatcher, model: card.id, vocabularySize: card.vocabularySize, seed });
}

/**
 * Keeps a load running for a while without measuring it.
 *
 * @throws JanusError when a sequence fails
 */
export async function warmUp(pool: RunningPool, shape: LoadShape, durationMs: number): Promise<void> {
  const load = startLoad(pool, shape);
  try {
    await sleep(durationMs);
    load.check();
  } finally {
    await load.stop();
  }
}

/**
 * Measures one load; null where too little happened to tell. What it takes as a whole is the median over the sequences of their mean
 * time per output token, as their clients saw it, so that it holds what lies between the steps, too. Where others kept the machine
 * busy, it is measured again.
 *
 * @throws JanusError when a sequence fails
 */
export async function measureLoad(pool: RunningPool, shape: LoadShape): Promise<LoadMeasurement | null> {
  const load = startLoad(pool, shape);
  try {
    await load.settle(SETTLE_LIMIT_MS);
    let before = await nextReading(pool);
    let quietest: MeasuredWindow | null = null;
    for (let attempt = 0; attempt < MOST_WINDOWS; attempt++) {
      const window = await measureWindow(pool, shape, load, before);
      before = window.after;
      if (quietest === null || window.others < quietest.others) quietest = window;
      if (quietest.others < QUIET_PROCESSORS) break;
    }
    return quietest?.measured ?? null;
  } finally {
    await load.stop();
  }
}

interface MeasuredWindow {
  readonly measured: LoadMeasurement | null;
  readonly after: ProcessorReading;
  /** Processors of this machine that others kept busy meanwhile; 0 where instances are on others. */
  readonly others: number;
}

async function measureWindow(
  pool: RunningPool,
  shape: LoadShape,
  load: SteadyLoad,
  before: ProcessorReading,
): Promise<MeasuredWindow> {
  const promptTokens = load.computedPromptTokens;
  load.takeTpots();
  for (let heartbeat = 1; heartbeat < WINDOW_HEARTBEATS; heartbeat++) await sleep(HEARTBEAT_INTERVAL_MS);
  const after = await nextReading(pool);
  load.check();
  const totalMs = medianOf(load.takeTpots());
  const span = measureSpan(
    { before: before.hosts, after: after.hosts },
    {
      layers: pool.placement.layers.length,
      expertInstances: pool.placement.instances.length,
      sequences: shape.sequences,
      promptTokens: load.computedPromptTokens - promptTokens,
      context: shape.promptTokens + shape.answerTokens / 2,
    },
  );
  const busy = pool.processors === null ? null : busyProcessors(before, after);
  const others = busy === null ? 0 : othersBusy(before, after, busy);
  if (span === null || totalMs === null) return { measured: null, after, others };
  return { measured: { ...span, totalMs, ...(busy !== null && { busyProcessors: busy }) }, after, others };
}

/** Records that all hosts have written after now. */
async function nextReading({ redis, card }: RunningPool): Promise<ProcessorReading> {
  await sleep(HEARTBEAT_INTERVAL_MS);
  return readProcessorUse(redis, await readMembers(redis, card.id));
}

function medianOf(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}
