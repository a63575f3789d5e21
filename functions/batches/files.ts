import type { Redis } from 'ioredis';
import { batchSequenceKey, fileKey, filesKey } from '../../shared/protocol/keys.ts';
import { ask } from '../dispatcher/ask.ts';
import { type Page, type PageRequest, readPage } from './page.ts';

export const FILE_PURPOSES = ['batch', 'batch_output'] as const;
export type FilePurpose = (typeof FILE_PURPOSES)[number];

/** All that is known of a file but its bytes. */
export interface FileRecord {
  readonly id: string;
  /** Who sent it, or sent the batch that made it; nobody else gets to see it. */
  readonly owner: string;
  readonly bytes: number;
  /** Unix time in seconds. */
  readonly createdAtS: number;
  readonly filename: string;
  readonly purpose: FilePurpose;
}

/**
 * Adds one file.
 *
 * KEYS 1 owner's files, 2 sequence, 3 record. ARGV 1 id, 2 most files that an owner may keep, 3 and further fields and
 * values of the record. Returns 1, or 0 where there are as many as may be, which changes nothing.
 */
const ADD = `
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[3], unpack(ARGV, 3))
redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[2]), ARGV[1])
return 1
`;

/**
 * Forgets one file, unless a batch that has not ended reads it.
 *
 * KEYS 1 owner's files, 2 record. ARGV 1 id. Returns `unknown`, `in use` or `removed`.
 */
const REMOVE = `
if redis.call('EXISTS', KEYS[2]) == 0 then return 'unknown' end
if tonumber(redis.call('HGET', KEYS[2], 'open_batches') or 0) > 0 then return 'in use' end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
return 'removed'
`;

export type Removal = 'unknown' | 'in use' | 'removed';

/** The files of all owners, in Redis. Every function throws a {@link DispatchError} `broker` when Redis does not answer. */
export interface FileRecords {
  /** @returns false when the owner has as many files as may be */
  readonly add: (record: FileRecord, most: number) => Promise<boolean>;
  /** @returns undefined also where the file is somebody else's */
  readonly find: (owner: string, id: string) => Promise<FileRecord | undefined>;
  /** @returns undefined when there is no file `after` */
  readonly list: (
    owner: string,
    request: PageRequest & { readonly purpose: string | undefined },
  ) => Promise<Page<FileRecord> | undefined>;
  readonly remove: (record: FileRecord) => Promise<Removal>;
}

/** A record as fields and values of its hash. */
export const fileFields = (record: Omit<FileRecord, 'id'>): string[] => [
  'owner',
  record.owner,
  'bytes',
  String(record.bytes),
  'created_at',
  String(record.createdAtS),
  'filename',
  record.filename,
  'purpose',
  record.purpose,
];

export function createFileRecords(redis: Redis): FileRecords {
  const find = async (owner: string, id: string): Promise<FileRecord | undefined> => {
    const fields = await ask(redis.hgetall(fileKey(id)));
    if (fields.owner !== owner) return undefined;
    return {
      id,
      owner,
      bytes: Number(fields.bytes),
      createdAtS: Number(fields.created_at),
      filename: fields.filename ?? '',
      purpose: fields.purpose as FilePurpose,
    };
  };

  return {
    async add(record, most) {
      const keys = [filesKey(record.owner), batchSequenceKey, fileKey(record.id)];
      return (await ask(redis.eval(ADD, 3, ...keys, record.id, most, ...fileFields(record)))) === 1;
    },
    find,
    list: (owner, request) =>
      readPage(redis, filesKey(owner), request, async (id) => {
        const record = await find(owner, id);
        return request.purpose === undefined || record?.purpose === request.purpose ? record : undefined;
      }),
    remove: async ({ id, owner }) =>
      (await ask(redis.eval(REMOVE, 2, filesKey(owner), fileKey(id), id))) as Removal,
  };
}
