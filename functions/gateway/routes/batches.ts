import type { Context } from 'hono';
import type { BatchRecord, NewBatch } from '../../batches/batch.ts';
import type { BatchDesk } from '../../batches/desk.ts';
import { COMPLETION_WINDOW_S } from '../../batches/limits.ts';
import type { Clock } from '../../clock.ts';
import { readJson } from '../body.ts';
import type { GatewayEnvironment } from '../dependencies.ts';
import { invalid, RequestError, shown } from '../errors.ts';
import { batchObject, listObject } from '../responses/batches.ts';
import { parseBatch, parseBatchesQuery } from '../schema/batches.ts';
import { ownerOf } from './files.ts';

type GatewayContext = Context<GatewayEnvironment>;

const MS_PER_S = 1_000;
/** Seconds after which a batch may be sent again where there were too many. */
const FULL_RETRY_AFTER_S = 60;

const nowS = (clock: Clock): number => Math.floor(clock.nowMs() / MS_PER_S);

function tooManyBatches(most: number): RequestError {
  const message = `${most} batches are open already; try again when some have ended`;
  const failure = { status: 429, type: 'requests', code: 'too_many_batches', param: null, message };
  return new RequestError(failure, FULL_RETRY_AFTER_S);
}

/** @throws {RequestError} 404 also where the batch is somebody else's */
async function findBatch({ batches }: BatchDesk, c: GatewayContext): Promise<BatchRecord> {
  const id = c.req.param('id') ?? '';
  const batch = await batches.find(ownerOf(c.get('accessKey')), id);
  if (batch === undefined) throw invalid('id', `No such batch: ${shown(id)}`, 'batch_not_found', 404);
  return batch;
}

/** The batch as it is after a change. */
async function answer({ batches }: BatchDesk, c: GatewayContext, { id, owner }: NewBatch): Promise<Response> {
  const batch = await batches.find(owner, id);
  if (batch === undefined) throw new Error(`Batch ${id} has vanished`);
  return c.json(batchObject(batch));
}

/** `POST /v1/batches`. @param bodyBytes largest body, in bytes */
export const createBatch =
  (desk: BatchDesk, clock: Clock, bodyBytes: number) => async (c: GatewayContext) => {
    const wanted = parseBatch(await readJson(c, bodyBytes));
    const key = c.get('accessKey');
    const createdAtS = nowS(clock);
    const batch: NewBatch = {
      ...wanted,
      id: desk.newBatchId(),
      owner: ownerOf(key),
      models: key?.models ?? null,
      createdAtS,
      expiresAtS: createdAtS + COMPLETION_WINDOW_S,
    };
    const creation = await desk.batches.create(batch, desk.limits.openBatches);
    if (creation === 'no file') {
      const message = `Invalid 'input_file_id': there is no file ${shown(batch.inputFileId)} with the purpose "batch"`;
      throw invalid('input_file_id', message, 'file_not_found', 400);
    }
    if (creation === 'full') throw tooManyBatches(desk.limits.openBatches);
    desk.wake();
    return answer(desk, c, batch);
  };

/** `GET /v1/batches`. */
export const listBatches = (desk: BatchDesk) => async (c: GatewayContext) => {
  const { after, limit } = parseBatchesQuery(c.req.query());
  const page = await desk.batches.list(ownerOf(c.get('accessKey')), { after, limit });
  if (page === undefined) throw invalid('after', `Invalid 'after': there is no batch ${shown(after ?? '')}`);
  return c.json(listObject(page, batchObject));
};

/** `GET /v1/batches/:id`. */
export const getBatch = (desk: BatchDesk) => async (c: GatewayContext) =>
  c.json(batchObject(await findBatch(desk, c)));

/** `POST /v1/batches/:id/cancel`. */
export const cancelBatch = (desk: BatchDesk, clock: Clock) => async (c: GatewayContext) => {
  const batch = await findBatch(desk, c);
  const status = await desk.batches.cancel(batch, nowS(clock));
  if (status !== 'cancelling' && status !== 'cancelled') {
    throw invalid(
      'id',
      `The batch ${batch.id} cannot be cancelled: it is ${status}`,
      'batch_not_cancellable',
      409,
    );
  }
  return answer(desk, c, batch);
};
