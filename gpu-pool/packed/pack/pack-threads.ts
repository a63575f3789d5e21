import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { GroupPlan } from '../plan.ts';

/** What a packing thread is started with. */
export interface PackWorkerData {
  /** Of the checkpoint. */
  readonly folder: string;
  /** Folder that holds the groups' files, already as long as they will be. */
  readonly target: string;
  readonly groups: readonly GroupPlan[];
  /** One number that threads share: groups that some thread has taken. */
  readonly taken: Int32Array<SharedArrayBuffer>;
}

export type PackWorkerMessage =
  | { readonly kind: 'progress'; readonly weights: number }
  | { readonly kind: 'group'; readonly index: number; readonly checksum: number }
  | { readonly kind: 'failed' | 'defect'; readonly message: string };

/**
 * Packs all groups in threads.
 *
 * @param onWeights told how many weights were written since the last call
 * @param signal ends all threads at once
 * @returns checksum of every group
 * @throws JanusError what the first thread that failed says; the signal's reason when it was aborted
 */
export async function packInThreads(
  data: Omit<PackWorkerData, 'taken'>,
  threads: number,
  onWeights: (weights: number) => void,
  signal: AbortSignal,
): Promise<number[]> {
  const checksums = new Array<number>(data.groups.length).fill(-1);
  const taken = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from({ length: Math.min(threads, data.groups.length) }, () => {
    const workerData: PackWorkerData = { ...data, taken };
    return new Worker(new URL('./pack-worker.ts', import.meta.url), { workerData });
  });
  const failed = Promise.withResolvers<never>();
  const onAbort = (): void => failed.reject(signal.reason);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  for (const worker of workers) {
    worker.on('message', (message: PackWorkerMessage) => {
      if (message.kind === 'progress') onWeights(message.weights);
      else if (message.kind === 'group') checksums[message.index] = message.checksum;
      else if (message.kind === 'failed') failed.reject(new JanusError(message.message));
      else failed.reject(new Error(message.message));
    });
    worker.on('error', failed.reject);
  }
  try {
    await Promise.race([Promise.all(workers.map((worker) => once(worker, 'exit'))), failed.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  const missing = checksums.indexOf(-1);
  if (missing >= 0) throw new Error(`a packing thread ended before ${data.groups[missing]!.name}`);
  return checksums;
}
