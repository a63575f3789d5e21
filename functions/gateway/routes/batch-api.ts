import type { Context, Hono } from 'hono';
import type { GatewayDependencies, GatewayEnvironment } from '../dependencies.ts';
import { errorResponse, invalid } from '../errors.ts';
import { cancelBatch, createBatch, getBatch, listBatches } from './batches.ts';
import { deleteFile, getContent, getFile, listFiles, uploadFile } from './files.ts';

const NO_FILES =
  'This gateway keeps no files, which batches need: start it with --files-dir, or bind a bucket as FILES to a Worker';

const notKept = (c: Context) => errorResponse(c, invalid(null, NO_FILES, 'not_implemented', 501));

/** OpenAI's routes of files and batches, where the gateway keeps files; elsewhere they say so. */
export function addBatchApi(
  app: Hono<GatewayEnvironment>,
  prefix: string,
  { batches: desk, clock, limits }: GatewayDependencies,
): void {
  if (desk === null) {
    for (const path of ['/files', '/files/*', '/batches', '/batches/*']) app.all(prefix + path, notKept);
    return;
  }
  app.post(`${prefix}/files`, uploadFile(desk, clock));
  app.get(`${prefix}/files`, listFiles(desk));
  app.get(`${prefix}/files/:id`, getFile(desk));
  app.delete(`${prefix}/files/:id`, deleteFile(desk));
  app.get(`${prefix}/files/:id/content`, getContent(desk));
  app.post(`${prefix}/batches`, createBatch(desk, clock, limits.bodyBytes));
  app.get(`${prefix}/batches`, listBatches(desk));
  app.get(`${prefix}/batches/:id`, getBatch(desk));
  app.post(`${prefix}/batches/:id/cancel`, cancelBatch(desk, clock));
}
