import { z } from 'zod';
import { BATCH_ENDPOINTS, BATCH_STATUSES } from '../../../batches/batch.ts';
import { FILE_PURPOSES } from '../../../batches/files.ts';
import { COMPLETION_WINDOW } from '../../../batches/limits.ts';
import { list, page, time } from './common.ts';

export const file = z.object({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.int(),
  created_at: time,
  filename: z.string(),
  purpose: z.enum(FILE_PURPOSES),
  status: z.literal('processed'),
  expires_at: z.null(),
  status_details: z.null(),
});
export const filePage = page(file);
export const deletedFile = z.object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) });

const entered = time.nullable();
const fileId = z.string().nullable();
const batchError = z.object({
  code: z.string(),
  line: z.int().nullable(),
  message: z.string(),
  param: z.string().nullable(),
});

export const batch = z.object({
  id: z.string(),
  object: z.literal('batch'),
  endpoint: z.enum(BATCH_ENDPOINTS),
  errors: list(batchError).nullable().describe('What is wrong with the file.'),
  input_file_id: z.string(),
  completion_window: z.literal(COMPLETION_WINDOW),
  status: z.enum(BATCH_STATUSES),
  output_file_id: fileId.describe('At the end: the file of the answers, one a line.'),
  error_file_id: fileId.describe('At the end: the file of the lines that failed.'),
  created_at: time,
  in_progress_at: entered,
  expires_at: entered,
  finalizing_at: entered,
  completed_at: entered,
  failed_at: entered,
  expired_at: entered,
  cancelling_at: entered,
  cancelled_at: entered,
  request_counts: z.object({ total: z.int(), completed: z.int(), failed: z.int() }),
  metadata: z.record(z.string(), z.string()).nullable(),
});
export const batchPage = page(batch);
