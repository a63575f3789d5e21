import { z } from 'zod';
import { BATCH_ENDPOINTS, type NewBatch } from '../../batches/batch.ts';
import { FILE_PURPOSES } from '../../batches/files.ts';
import { COMPLETION_WINDOW } from '../../batches/limits.ts';
import { unicodeText } from './fields.ts';
import { metadataOf } from './metadata.ts';
import { parseFields } from './parse.ts';
import type { Unsupported } from './unsupported.ts';

/** OpenAI's bounds of one entry of `metadata`. */
const MAX_METADATA_KEY = 64;
const MAX_METADATA_VALUE = 512;
/** OpenAI's bounds of one page. */
const BATCHES_PER_PAGE = 100;
const DEFAULT_BATCHES_PER_PAGE = 20;
const FILES_PER_PAGE = 10_000;

const metadata = metadataOf(unicodeText.max(MAX_METADATA_KEY), unicodeText.max(MAX_METADATA_VALUE));

export const batchSchema = z.object({
  input_file_id: z
    .string()
    .min(1, 'must not be empty')
    .describe('A file with one request per line: `custom_id`, `method`, `url` and `body`.'),
  endpoint: z
    .enum(BATCH_ENDPOINTS, { error: `must be one of ${BATCH_ENDPOINTS.join(', ')}` })
    .describe('Where all lines of the file go.'),
  completion_window: z
    .literal(COMPLETION_WINDOW, { error: `must be "${COMPLETION_WINDOW}"` })
    .describe('What has no result by then expires.'),
  metadata: metadata.optional().describe('Names and texts of your own; the batch repeats them.'),
});

const UNSUPPORTED: readonly Unsupported[] = [
  ['output_expires_after', () => true, 'files stay until they are deleted'],
];

/**
 * @param body parsed JSON of `POST /v1/batches`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseBatch(body: unknown): Pick<NewBatch, 'inputFileId' | 'endpoint' | 'metadata'> {
  const fields = parseFields(batchSchema, body, UNSUPPORTED);
  return {
    inputFileId: fields.input_file_id,
    endpoint: fields.endpoint,
    metadata: fields.metadata ?? null,
  };
}

const limit = (most: number, byDefault: number) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .max(most)
    .default(byDefault)
    .describe('Largest number of items of the page.');
const after = z.string().optional().describe('The page begins behind the item with this id.');
export const batchesQuery = z.object({
  after,
  limit: limit(BATCHES_PER_PAGE, DEFAULT_BATCHES_PER_PAGE),
});
export const filesQuery = z.object({
  after,
  limit: limit(FILES_PER_PAGE, FILES_PER_PAGE),
  order: z
    .enum(['asc', 'desc'], { error: 'must be "asc" or "desc"' })
    .default('desc')
    .describe('Oldest or newest first.'),
  purpose: z
    .enum(FILE_PURPOSES, { error: `must be one of ${FILE_PURPOSES.join(', ')}` })
    .optional()
    .describe('Tells of files of this purpose alone.'),
});

/** Query of `GET /v1/batches`. @throws {RequestError} 400 */
export const parseBatchesQuery = (query: Record<string, string>) => parseFields(batchesQuery, query);

/** Query of `GET /v1/files`. @throws {RequestError} 400 */
export const parseFilesQuery = (query: Record<string, string>) => parseFields(filesQuery, query);
