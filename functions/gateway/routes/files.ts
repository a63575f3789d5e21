import type { Context } from 'hono';
import type { BatchDesk } from '../../batches/desk.ts';
import type { FileRecord } from '../../batches/files.ts';
import { readUpload } from '../../batches/upload/read-upload.ts';
import type { Clock } from '../../clock.ts';
import type { AccessKey } from '../access/access-key.ts';
import { bodyPieces } from '../body.ts';
import type { GatewayEnvironment } from '../dependencies.ts';
import { ClientGoneError, invalid, shown, unavailable } from '../errors.ts';
import { fileObject, listObject } from '../responses/batches.ts';
import { parseFilesQuery } from '../schema/batches.ts';

type GatewayContext = Context<GatewayEnvironment>;

/** Owner of what is sent without a key; no key's id looks like this. */
const NOBODY = '-';
const MS_PER_S = 1_000;
/** An upload that lasts longer, in milliseconds, is not under way any more. */
const LONGEST_UPLOAD_MS = 60 * 60_000;

/** Whose files and batches a request may see. */
export const ownerOf = (key: AccessKey | null): string => key?.id ?? NOBODY;

const fileNotFound = (id: string) => invalid('id', `No such file: ${shown(id)}`, 'file_not_found', 404);

/** @throws {RequestError} 404 also where the file is somebody else's */
async function findFile(desk: BatchDesk, c: GatewayContext): Promise<FileRecord> {
  const id = c.req.param('id') ?? '';
  const file = await desk.files.find(ownerOf(c.get('accessKey')), id);
  if (file === undefined) throw fileNotFound(id);
  return file;
}

/** `POST /v1/files`: takes a form in as it comes. */
export function uploadFile(desk: BatchDesk, clock: Clock) {
  const { store, files, limits, uploads, newFileId } = desk;

  const takeIn = async (c: GatewayContext, id: string): Promise<FileRecord> => {
    const { body } = c.req.raw;
    if (body === null) throw invalid('file', "Invalid 'file': is required");
    const { filename, bytes } = await readUpload({
      contentType: c.req.header('Content-Type'),
      body: bodyPieces(body),
      limits,
      store: (content) => store.write(id, content),
    });
    const createdAtS = Math.floor(clock.nowMs() / MS_PER_S);
    const owner = ownerOf(c.get('accessKey'));
    const file: FileRecord = { id, owner, bytes, createdAtS, filename, purpose: 'batch' };
    if (await files.add(file, limits.files)) return file;
    const message = `There are ${limits.files} files already: delete some that are not needed any more`;
    throw invalid(null, message, 'too_many_files');
  };

  return async (c: GatewayContext): Promise<Response> => {
    const id = newFileId();
    const leave = uploads.enter(id, LONGEST_UPLOAD_MS);
    if (leave === null) {
      throw unavailable('overloaded', `This gateway takes ${limits.uploads} files in already; try again`);
    }
    try {
      return c.json(fileObject(await takeIn(c, id)));
    } catch (error) {
      await store.remove(id);
      // What is left of the body is not waited for without end, and the next request would come behind it.
      c.header('Connection', 'close');
      throw c.req.raw.signal.aborted ? new ClientGoneError() : error;
    } finally {
      leave();
    }
  };
}

/** `GET /v1/files`. */
export const listFiles = (desk: BatchDesk) => async (c: GatewayContext) => {
  const { after, limit, order, purpose } = parseFilesQuery(c.req.query());
  const page = await desk.files.list(ownerOf(c.get('accessKey')), { after, limit, order, purpose });
  if (page === undefined) throw invalid('after', `Invalid 'after': there is no file ${shown(after ?? '')}`);
  return c.json(listObject(page, fileObject));
};

/** `GET /v1/files/:id`. */
export const getFile = (desk: BatchDesk) => async (c: GatewayContext) =>
  c.json(fileObject(await findFile(desk, c)));

/** `GET /v1/files/:id/content`. */
export const getContent = (desk: BatchDesk) => async (c: GatewayContext) => {
  const { id, bytes } = await findFile(desk, c);
  const content = await desk.store.read(id);
  if (content === undefined) throw fileNotFound(id);
  return c.body(content, 200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(bytes),
  });
};

/** `DELETE /v1/files/:id`. */
export const deleteFile = (desk: BatchDesk) => async (c: GatewayContext) => {
  const file = await findFile(desk, c);
  const removal = await desk.files.remove(file);
  if (removal === 'unknown') throw fileNotFound(file.id);
  if (removal === 'in use') {
    const message = `The file ${file.id} is read by a batch: cancel the batch first, or wait for its end`;
    throw invalid('id', message, 'file_in_use', 409);
  }
  await desk.store.remove(file.id);
  return c.json({ id: file.id, object: 'file', deleted: true });
};
