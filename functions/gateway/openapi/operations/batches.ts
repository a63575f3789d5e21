import { batchesQuery, filesQuery } from '../../schema/batches.ts';
import { type Content, type ErrorStatus, KEY_ERRORS, type Operation } from '../operation.ts';
import type { SchemaName } from '../schemas.ts';

const files = { tag: 'Files', access: 'api' } as const;
const batches = { tag: 'Batches', access: 'api' } as const;
const FILE = '/v1/files/{id}';
const BATCH = '/v1/batches/{id}';

const errors = (...own: ErrorStatus[]): ErrorStatus[] => [...own, ...KEY_ERRORS, 501];
const json = (schema: SchemaName): Content => ({ kind: 'json', schema });

export const FILES: readonly Operation[] = [
  {
    ...files,
    id: 'uploadFile',
    method: 'post',
    paths: ['/v1/files'],
    summary: 'Takes in a file of requests for a batch',
    body: {
      kind: 'form',
      fields: {
        purpose: { text: 'batch' },
        file: { text: 'requests.jsonl', binary: true },
      },
    },
    answer: { description: 'The file.', content: json('File') },
    errors: errors(400, 413),
  },
  {
    ...files,
    id: 'listFiles',
    method: 'get',
    paths: ['/v1/files'],
    summary: 'Lists files',
    query: filesQuery,
    answer: { description: 'A page of files.', content: json('FilePage') },
    errors: errors(400),
  },
  {
    ...files,
    id: 'getFile',
    method: 'get',
    paths: [FILE],
    summary: 'Tells of a file',
    answer: { description: 'The file.', content: json('File') },
    errors: errors(404),
  },
  {
    ...files,
    id: 'deleteFile',
    method: 'delete',
    paths: [FILE],
    summary: 'Deletes a file',
    answer: { description: 'It is gone.', content: json('DeletedFile') },
    errors: errors(404, 409),
  },
  {
    ...files,
    id: 'getFileContent',
    method: 'get',
    paths: [`${FILE}/content`],
    summary: 'Gives the content of a file',
    answer: {
      description: 'The bytes of the file.',
      content: { kind: 'text', mediaType: 'application/octet-stream' },
    },
    errors: errors(404),
  },
];

export const BATCHES: readonly Operation[] = [
  {
    ...batches,
    id: 'createBatch',
    method: 'post',
    paths: ['/v1/batches'],
    summary: 'Starts a batch',
    description: 'Its lines go behind all interactive requests, and each gets exactly one result.',
    body: {
      kind: 'json',
      schema: 'BatchRequest',
      example: { input_file_id: 'file-…', endpoint: '/v1/chat/completions', completion_window: '24h' },
    },
    answer: { description: 'The batch.', content: json('Batch') },
    errors: errors(400, 413, 429),
  },
  {
    ...batches,
    id: 'listBatches',
    method: 'get',
    paths: ['/v1/batches'],
    summary: 'Lists batches, newest first',
    query: batchesQuery,
    answer: { description: 'A page of batches.', content: json('BatchPage') },
    errors: errors(400),
  },
  {
    ...batches,
    id: 'getBatch',
    method: 'get',
    paths: [BATCH],
    summary: 'Tells of a batch',
    answer: { description: 'The batch.', content: json('Batch') },
    errors: errors(404),
  },
  {
    ...batches,
    id: 'cancelBatch',
    method: 'post',
    paths: [`${BATCH}/cancel`],
    summary: 'Cancels a batch',
    description: 'What has a result by then keeps it.',
    answer: { description: 'The batch.', content: json('Batch') },
    errors: errors(404, 409),
  },
];
