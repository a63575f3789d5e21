import type { Redis } from 'ioredis';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { Clock } from '../clock.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { Registry } from '../dispatcher/registry.ts';
import type { Ids } from '../gateway/ids.ts';
import type { GatewayLimits } from '../gateway/limits.ts';
import { createBatchRecords } from './batches.ts';
import type { BatchDesk } from './desk.ts';
import { createFileRecords } from './files.ts';
import { type BatchLimits, COMPLETION_WINDOW_S, DEFAULT_BATCH_LIMITS } from './limits.ts';
import { createBatchClaims } from './run/claims.ts';
import { startRunner } from './run/runner.ts';
import { createDiskStore, removeLeftovers } from './store/disk-store.ts';

/** Longer than a batch can be under way, so that nothing of one that goes on is taken for a leftover. */
const LEFTOVER_MS = 2 * COMPLETION_WINDOW_S * 1_000;

/** What whoever starts a gateway decides of its files and batches. */
export interface BatchSettings {
  /** Where files are kept; all gateways that share a Redis must share it. Made when the first file comes. */
  readonly folder: string;
  readonly limits?: Partial<BatchLimits>;
}

export interface BatchesDependencies {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly gatewayLimits: Pick<GatewayLimits, 'promptCharacters' | 'silenceMs'>;
  readonly report: (error: unknown, requestId: string) => void;
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
  { redis, dispatcher, registry, clock, ids, gatewayLimits, report }: BatchesDependencies,
): Promise<RunningBatches> {
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
  const newFileId = () => `file-${ids.requestId()}`;
  const runner = startRunner({
    claims: createBatchClaims(redis),
    store,
    dispatcher,
    registry,
    clock,
    limits,
    report,
    newFileId,
    newToken: ids.requestId,
    promptCharacters: gatewayLimits.promptCharacters,
    silenceMs: gatewayLimits.silenceMs,
  });
  const desk: BatchDesk = {
    store,
    limits,
    newFileId,
    newBatchId: () => `batch_${ids.requestId()}`,
    files: createFileRecords(redis),
    batches: createBatchRecords(redis),
    wake: runner.wake,
  };
  return { desk, close: runner.close };
}
