import type { BatchRecord, BatchStatus } from '../../batches/batch.ts';
import type { FileRecord } from '../../batches/files.ts';
import { COMPLETION_WINDOW } from '../../batches/limits.ts';
import type { Page } from '../../batches/page.ts';

/** OpenAI's file object. */
export const fileObject = ({ id, bytes, createdAtS, filename, purpose }: FileRecord) => ({
  id,
  object: 'file',
  bytes,
  created_at: createdAtS,
  filename,
  purpose,
  status: 'processed',
  expires_at: null,
  status_details: null,
});

/** OpenAI's batch object. */
export function batchObject(batch: BatchRecord) {
  const enteredAt = (status: BatchStatus): number | null => batch.enteredAtS[status] ?? null;
  return {
    id: batch.id,
    object: 'batch',
    endpoint: batch.endpoint,
    errors: batch.errors.length === 0 ? null : { object: 'list', data: batch.errors },
    input_file_id: batch.inputFileId,
    completion_window: COMPLETION_WINDOW,
    status: batch.status,
    output_file_id: batch.outputFileId,
    error_file_id: batch.errorFileId,
    created_at: batch.createdAtS,
    in_progress_at: enteredAt('in_progress'),
    expires_at: batch.expiresAtS,
    finalizing_at: enteredAt('finalizing'),
    completed_at: enteredAt('completed'),
    failed_at: enteredAt('failed'),
    expired_at: enteredAt('expired'),
    cancelling_at: enteredAt('cancelling'),
    cancelled_at: enteredAt('cancelled'),
    request_counts: batch.counts,
    metadata: batch.metadata,
  };
}

/** OpenAI's list of one page. */
export function listObject<T extends { readonly id: string }>(
  { data, hasMore }: Page<T>,
  show: (item: T) => object,
) {
  return {
    object: 'list',
    data: data.map(show),
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}
