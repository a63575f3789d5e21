import { type BatchMetrics, createBatchMetrics } from '../batches/batch-metrics.ts';
import { WORKER_BATCH_LIMITS } from '../batches/worker-batches.ts';
import { type Admission, createAdmission } from '../gateway/admission.ts';
import { createRequestMetrics, type RequestMetrics } from '../gateway/metrics/request-metrics.ts';
import { createPlaces, type Places } from '../places.ts';
import { type ConsoleLog, createConsoleLog } from './console-log.ts';
import { readSettings, type WorkerBindings, type WorkerSettings } from './settings.ts';

/**
 * What an isolate keeps from request to request. A connection, a timer or a promise of one request must not be waited for by
 * another, so this is what only counts; `/metrics` tells of one isolate, not of all.
 */
export interface Isolate {
  readonly settings: WorkerSettings;
  readonly log: ConsoleLog;
  readonly admission: Admission;
  readonly metrics: RequestMetrics;
  readonly batchMetrics: BatchMetrics;
  readonly uploads: Places<string>;
}

/** @throws {JanusError} naming the variable that is missing or not understood */
export function createIsolate(bindings: WorkerBindings): Isolate {
  const settings = readSettings(bindings);
  return {
    settings,
    log: createConsoleLog(settings.logLevel),
    admission: createAdmission(settings.limits.openRequests),
    metrics: createRequestMetrics(),
    batchMetrics: createBatchMetrics(),
    uploads: createPlaces(WORKER_BATCH_LIMITS.uploads),
  };
}
