import { runBatchSlice } from '../batches/worker-batches.ts';
import { systemClock } from '../clock.ts';
import { cancelRequest } from '../dispatcher/cancel.ts';
import { createPoolReader } from '../dispatcher/pool-reader.ts';
import { randomIds } from '../gateway/ids.ts';
import { createResumptions } from '../gateway/resumption/resumptions.ts';
import { scaleOnce } from '../scaler/start-scaler.ts';
import type { Isolate } from './isolate.ts';
import { openWorkerRedis, reporter } from './redis.ts';
import type { WorkerBindings } from './settings.ts';

/**
 * What a gateway on Node does all the time, and a Worker when a cron trigger fires: cancels resumable answers that nobody came
 * back to, and runs batches for a while, where files are kept. It also chooses the sizes of pools that have a scaling target.
 *
 * @throws {DispatchError} `broker` when Redis cannot be reached
 */
export async function onSchedule(isolate: Isolate, { FILES }: WorkerBindings): Promise<void> {
  const { settings, batchMetrics } = isolate;
  const { limits, batchSliceMs } = settings;
  const report = reporter(isolate);
  const redis = openWorkerRedis(isolate);
  try {
    const cancel = (requestId: string, model: string) => cancelRequest(redis, requestId, model);
    await createResumptions(redis, { cancel }, limits).cancelAbandoned();
    const pools = createPoolReader(redis);
    await scaleOnce({ redis, pools, clock: systemClock, report: (error) => report(error, 'scaler') });
    if (FILES === undefined) return;
    const dependencies = {
      bucket: FILES,
      redis,
      ids: randomIds,
      clock: systemClock,
      gatewayLimits: limits,
      metrics: batchMetrics,
      report,
    };
    await runBatchSlice(dependencies, batchSliceMs);
  } finally {
    redis.disconnect();
  }
}
