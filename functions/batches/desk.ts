import type { BatchRecords } from './batches.ts';
import type { FileRecords } from './files.ts';
import type { BatchLimits } from './limits.ts';
import type { FileStore } from './store/file-store.ts';

/** Where a gateway's routes hand in files and batches. */
export interface BatchDesk {
  readonly store: FileStore;
  readonly files: FileRecords;
  readonly batches: BatchRecords;
  readonly limits: BatchLimits;
  readonly newFileId: () => string;
  readonly newBatchId: () => string;
  /** Tells whoever runs batches in this process that there is a new one. */
  readonly wake: () => void;
}
