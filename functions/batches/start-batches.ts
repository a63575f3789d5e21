import { JanusError } from '../../shared/errors/janus-error.ts';
import { createPlaces } from '../places.ts';
import { createBatchMetrics } from './batch-metrics.ts';
import { type BatchDesk, createDesk } from './desk.ts';
import { type BatchLimits, COMPLETION_WINDOW_S, DEFAULT_BATCH_LIMITS, PARTS_GRACE_MS } from './limits.ts';
import { partSeries } from './run/result-log.ts';
import { type BatchesDependencies, runBatches } from './run-batches.ts';
import { createDiskStore, removeLeftovers } from './store/disk-store.ts';

export type { BatchesDependencies } from './run-batches.ts';

/** Longer than a batch can be under way, so that nothing of one that goes on is taken for a leftover. */
const LEFTOVER_MS = 2 * COMPLETION_WINDOW_S * 1_000;

/** What whoever starts a gateway decides of its files and batches. */
export interface BatchSettings {
  /** Where files are kept; all gateways that share a Redis must share it. Made when the first file comes. */
  readonly folder: string;
  readonly limits?: Partial<BatchLimits>;
}

export interface RunningBatches {
  readonly desk: BatchDesk;
  /** Ends the running of batches, not what was given. */
  readonly close: () => Promise<void>;
}

/**
 * Keeps files in a folder and runs batches in this process.
 *
 * @throws {JanusError} when the folder cannot be used
 */
export async function startBatches(
  settings: BatchSettings,
  dependencies: BatchesDependencies,
): Promise<RunningBatches> {
  const { redis, ids, clock, report } = dependencies;
  const limits = { ...DEFAULT_BATCH_LIMITS, ...settings.limits };
  const store = createDiskStore(settings.folder);
  try {
    await removeLeftovers(settings.folder, clock.nowMs() - LEFTOVER_MS);
  } catch (error) {
    const why = (error as Error).message;
    throw new JanusError(
      `Files cannot be kept in ${settings.folder} (${why}): choose a folder with --files-dir`,
    );
  }
  const metrics = createBatchMetrics();
  const dropParts = (id: string): void => {
    setTimeout(() => {
      const dropping = [
        store.removeParts(partSeries(id, 'output')),
        store.removeParts(partSeries(id, 'error')),
      ];
      Promise.all(dropping).catch((error: unknown) => report(error, id));
    }, PARTS_GRACE_MS).unref();
  };
  const runner = runBatches({ ...dependencies, store, limits, metrics, dropParts });
  const desk = createDesk({
    store,
    limits,
    uploads: createPlaces(limits.uploads),
    metrics,
    redis,
    ids,
    wake: runner.wake,
  });
  return { desk, close: runner.close };
}
