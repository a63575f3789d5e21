import type { Redis } from 'ioredis';
import {
  batchesKey,
  batchKey,
  batchSequenceKey,
  fileKey,
  openBatchesKey,
} from '../../shared/protocol/keys.ts';
import { ask } from '../dispatcher/ask.ts';
import { type BatchRecord, type BatchStatus, batchFields, type NewBatch, readBatch } from './batch.ts';
import { LISTED_BATCHES } from './limits.ts';
import { type Page, type PageRequest, readPage } from './page.ts';

/**
 * Makes a batch.
 *
 * KEYS 1 owner's batches, 2 open batches, 3 sequence, 4 record, 5 record of the input file. ARGV 1 id, 2 owner, 3 most open
 * batches, 4 most listed batches, 5 and further fields and values of the record. The file stays while the batch is open.
 * Returns `no file` where the owner has no such file of the right purpose, `full` or `created`.
 */
const CREATE = `
local file = redis.call('HMGET', KEYS[5], 'owner', 'purpose')
if file[1] ~= ARGV[2] or file[2] ~= 'batch' then return 'no file' end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[4], unpack(ARGV, 5))
local position = redis.call('INCR', KEYS[3])
redis.call('ZADD', KEYS[1], position, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[4]) - 1)
redis.call('ZADD', KEYS[2], position, ARGV[1])
redis.call('HINCRBY', KEYS[5], 'open_batches', 1)
return 'created'
`;

/**
 * Asks whoever runs a batch to end it.
 *
 * KEYS 1 record. ARGV 1 Unix time in seconds. Returns the status that the batch is in then: what has all its results, or
 * ended, stays as it is.
 */
const CANCEL = `
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'validating' and status ~= 'in_progress' then return status end
redis.call('HSET', KEYS[1], 'status', 'cancelling', 'cancelling_at', ARGV[1])
return 'cancelling'
`;

export type Creation = 'no file' | 'full' | 'created';

/** The batches of all owners, as their senders see them. Throws as {@link FileRecords} does. */
export interface BatchRecords {
  readonly create: (batch: NewBatch, mostOpen: number) => Promise<Creation>;
  /** @returns undefined also where the batch is somebody else's */
  readonly find: (owner: string, id: string) => Promise<BatchRecord | undefined>;
  /** Newest first. @returns undefined when there is no batch `after` */
  readonly list: (
    owner: string,
    request: Omit<PageRequest, 'order'>,
  ) => Promise<Page<BatchRecord> | undefined>;
  /** @returns the status that it is in then */
  readonly cancel: (batch: BatchRecord, nowS: number) => Promise<BatchStatus>;
}

export function createBatchRecords(redis: Redis): BatchRecords {
  const find = async (owner: string, id: string): Promise<BatchRecord | undefined> => {
    const batch = readBatch(id, await ask(redis.hgetall(batchKey(id))));
    return batch?.owner === owner ? batch : undefined;
  };

  return {
    async create(batch, mostOpen) {
      const { id, owner, inputFileId } = batch;
      const keys = [batchesKey(owner), openBatchesKey, batchSequenceKey, batchKey(id), fileKey(inputFileId)];
      const bounds = [mostOpen, LISTED_BATCHES];
      const reply = redis.eval(CREATE, keys.length, ...keys, id, owner, ...bounds, ...batchFields(batch));
      return (await ask(reply)) as Creation;
    },
    find,
    list: (owner, request) =>
      readPage(redis, batchesKey(owner), { ...request, order: 'desc' }, (id) => find(owner, id)),
    cancel: async ({ id }, nowS) => (await ask(redis.eval(CANCEL, 1, batchKey(id), nowS))) as BatchStatus,
  };
}
