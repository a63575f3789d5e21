import { setTimeout as sleep } from 'node:timers/promises';
import type { R2Bucket } from '@cloudflare/workers-types';
import type { Redis } from 'ioredis';
import { batchKey } from '../../shared/protocol/keys.ts';
import { ask } from '../dispatcher/ask.ts';
import { createDispatcher } from '../dispatcher/dispatcher.ts';
import { createDoorbellStreams } from '../dispatcher/doorbell-streams.ts';
import { createRegistry } from '../dispatcher/registry.ts';
import type { Ids } from '../gateway/ids.ts';
import { createPlaces, type Places } from '../places.ts';
import { isEnded, readBatch } from './batch.ts';
import { type BatchMetrics, createBatchMetrics } from './batch-metrics.ts';
import { type BatchDesk, createDesk } from './desk.ts';
import { type BatchLimits, DEFAULT_BATCH_LIMITS, PARTS_GRACE_MS } from './limits.ts';
import { batchOfSeries } from './run/result-log.ts';
import { type BatchesDependencies, runBatches } from './run-batches.ts';
import { createR2Store, partSeriesIn } from './store/r2-store.ts';

const MS_PER_S = 1_000;
/** A trigger that comes every minute goes on where the one before gave up. Cloudflare ends one after 15 minutes. */
export const DEFAULT_SLICE_MS = 50_000;
/** An isolate has 128 MB, of which a batch of as many lines as may be takes a good part. */
export const WORKER_BATCH_LIMITS: BatchLimits = { ...DEFAULT_BATCH_LIMITS, runningBatches: 1, uploads: 4 };

/** What files and batches need of a Worker. */
export interface WorkerBatchSettings {
  /** Where files are kept; all gateways that share a Redis must share it. */
  readonly bucket: R2Bucket;
  readonly limits?: Partial<BatchLimits>;
  /** Of the isolate: what a slice counts is told by a later request. Default: of its own. */
  readonly metrics?: BatchMetrics;
  /** Of the isolate, which is what uploads must leave room in. Default: of its own. */
  readonly uploads?: Places<string>;
}

const limitsOf = ({ limits }: WorkerBatchSettings): BatchLimits => ({ ...WORKER_BATCH_LIMITS, ...limits });

/** Where the routes of a Worker hand in files and batches, which {@link runBatchSlice} runs. It holds nothing to be closed. */
export function createWorkerBatches(
  settings: WorkerBatchSettings & { readonly redis: Redis; readonly ids: Ids },
): BatchDesk {
  const { bucket, redis, ids, metrics = createBatchMetrics() } = settings;
  const limits = limitsOf(settings);
  const { uploads = createPlaces(limits.uploads) } = settings;
  const store = createR2Store(bucket);
  return createDesk({ store, limits, uploads, metrics, redis, ids, wake() {} });
}

export type BatchSliceDependencies = WorkerBatchSettings &
  Omit<BatchesDependencies, 'dispatcher' | 'registry'>;

/** Drops the parts of batches that ended a while ago, or are forgotten. */
async function dropEndedParts({ bucket, redis, clock }: BatchSliceDependencies): Promise<void> {
  const store = createR2Store(bucket);
  for (const series of await partSeriesIn(bucket)) {
    const id = batchOfSeries(series);
    const batch = readBatch(id, await ask(redis.hgetall(batchKey(id))));
    if (batch !== undefined && !isEnded(batch.status)) continue;
    const endedAtS = batch?.enteredAtS[batch.status] ?? 0;
    if (clock.nowMs() >= endedAtS * MS_PER_S + PARTS_GRACE_MS) await store.removeParts(series);
  }
}

/**
 * Runs batches for a while: what a cron trigger does. Ends early when there is nothing to run; what is under way at its end
 * is left to the next slice, which goes on with it at once. Several slices at a time share the batches.
 *
 * @param dependencies with a connection to Redis that lives as long as the slice; one more is opened, and closed, for what
 *   the pools tell
 * @param sliceMs time after which no line is begun any more, in milliseconds
 * @throws {DispatchError} `broker` when Redis cannot be reached at the beginning
 */
export async function runBatchSlice(
  dependencies: BatchSliceDependencies,
  sliceMs = DEFAULT_SLICE_MS,
): Promise<void> {
  const { bucket, redis, ids, clock, report, metrics = createBatchMetrics() } = dependencies;
  // One connection hears of all lines; reads that block would need one each, and a Worker has six.
  const dispatcher = createDispatcher(redis, {
    streams: await createDoorbellStreams(redis, ids.requestId()),
  });
  const over = new AbortController();
  try {
    await dropEndedParts(dependencies).catch((error: unknown) => report(error, ''));
    const runner = runBatches({
      ...dependencies,
      limits: limitsOf(dependencies),
      metrics,
      dispatcher,
      registry: createRegistry(redis, { clock }),
      store: createR2Store(bucket),
      // A later slice does it: none lives for as long as they must stay.
      dropParts() {},
    });
    const time = sleep(sliceMs, undefined, { signal: over.signal }).catch(() => {});
    await Promise.race([time, runner.lull]);
    await runner.close();
  } finally {
    over.abort();
    await dispatcher.close();
  }
}
