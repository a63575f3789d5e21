import type { Redis } from 'ioredis';
import type { Tracer } from '../../shared/tracing/tracer.ts';
import type { Clock } from '../clock.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { Registry } from '../dispatcher/registry.ts';
import type { Ids } from '../gateway/ids.ts';
import type { GatewayLimits } from '../gateway/limits.ts';
import type { BatchMetrics } from './batch-metrics.ts';
import { fileIds } from './desk.ts';
import type { BatchLimits } from './limits.ts';
import { createBatchClaims } from './run/claims.ts';
import { openLineBudget } from './run/line-budget.ts';
import { createLinePlaces } from './run/line-places.ts';
import { type BatchRunner, startRunner } from './run/runner.ts';
import type { FileStore } from './store/file-store.ts';

/** What files and batches work with, wherever they run. */
export interface BatchesDependencies {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly gatewayLimits: Pick<GatewayLimits, 'promptCharacters' | 'silenceMs'>;
  readonly report: (error: unknown, requestId: string) => void;
  /** Traces lines; null or absent: nobody asked for traces. */
  readonly tracer?: Tracer | null;
}

export interface RunBatchesDependencies extends BatchesDependencies {
  readonly store: FileStore;
  readonly limits: BatchLimits;
  readonly metrics: BatchMetrics;
  /** Drops the parts of a batch that has ended, though not at once: see `PARTS_GRACE_MS`. */
  readonly dropParts: (batchId: string) => void;
}

/** Begins to run batches in this process. */
export function runBatches({ redis, ids, gatewayLimits, ...given }: RunBatchesDependencies): BatchRunner {
  return startRunner({
    ...given,
    claims: createBatchClaims(redis),
    places: createLinePlaces(),
    openBudget: (owner) => openLineBudget(redis, owner),
    newFileId: fileIds(ids),
    newToken: ids.requestId,
    promptCharacters: gatewayLimits.promptCharacters,
    silenceMs: gatewayLimits.silenceMs,
  });
}
