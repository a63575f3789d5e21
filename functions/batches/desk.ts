import type { Redis } from 'ioredis';
import type { Ids } from '../gateway/ids.ts';
import type { Places } from '../places.ts';
import type { BatchMetrics } from './batch-metrics.ts';
import { type BatchRecords, createBatchRecords } from './batches.ts';
import { createFileRecords, type FileRecords } from './files.ts';
import type { BatchLimits } from './limits.ts';
import type { FileStore } from './store/file-store.ts';

/** Where a gateway's routes hand in files and batches. */
export interface BatchDesk {
  readonly store: FileStore;
  readonly files: FileRecords;
  readonly batches: BatchRecords;
  readonly limits: BatchLimits;
  /** Ids of files that are being uploaded. */
  readonly uploads: Places<string>;
  /** What this process counted of the lines that it ran. */
  readonly metrics: BatchMetrics;
  readonly newFileId: () => string;
  readonly newBatchId: () => string;
  /** Tells whoever runs batches in this process that there is a new one. */
  readonly wake: () => void;
}

export const fileIds = (ids: Ids) => (): string => `file-${ids.requestId()}`;

export interface DeskDependencies
  extends Pick<BatchDesk, 'store' | 'limits' | 'uploads' | 'metrics' | 'wake'> {
  readonly redis: Redis;
  readonly ids: Ids;
}

export const createDesk = ({ redis, ids, ...given }: DeskDependencies): BatchDesk => ({
  ...given,
  newFileId: fileIds(ids),
  newBatchId: () => `batch_${ids.requestId()}`,
  files: createFileRecords(redis),
  batches: createBatchRecords(redis),
});
