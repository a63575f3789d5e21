import type { R2Bucket, R2Object } from '@cloudflare/workers-types';
import type { FileStore, PartLength, PartWriter } from './file-store.ts';
import { deleteUnder, foldersUnder, objectsUnder, putWhole } from './r2-objects.ts';
import { safeName } from './safe-name.ts';

const FILES = 'files/';
const PARTS = 'parts/';
/** Largest object of a part, in bytes, and objects that are read ahead of each other when parts are joined. */
const OBJECT_BYTES = 1024 * 1024;
const READ_AHEAD = 4;
/** Digits of an object's number, so that objects are listed in the order in which they were appended. */
const NUMBER_DIGITS = 9;
/** Number of the empty object that says that a part was begun. */
const BEGUN = 0;

const fileKey = (id: string): string => FILES + safeName(id);
const seriesPrefix = (series: string): string => `${PARTS}${safeName(series)}/`;
const partPrefix = (series: string, part: string): string => `${seriesPrefix(series)}${safeName(part)}/`;
const objectKey = (prefix: string, number: number): string =>
  prefix + String(number).padStart(NUMBER_DIGITS, '0');

/** Series that have parts in a bucket. */
export async function partSeriesIn(bucket: R2Bucket): Promise<readonly string[]> {
  return (await foldersUnder(bucket, PARTS)).map((folder) => folder.slice(PARTS.length, -1));
}

async function beginPart(bucket: R2Bucket, series: string, part: string): Promise<PartWriter> {
  const prefix = partPrefix(series, part);
  const isNew = { onlyIf: { etagDoesNotMatch: '*' } };
  if ((await bucket.put(objectKey(prefix, BEGUN), '', isNew)) === null) {
    throw new Error(`Part ${part} of ${series} was begun before`);
  }
  let last = BEGUN;
  return {
    async append(bytes) {
      for (let at = 0; at < bytes.length; at += OBJECT_BYTES) {
        last += 1;
        await bucket.put(objectKey(prefix, last), bytes.slice(at, at + OBJECT_BYTES));
      }
    },
    async close() {},
  };
}

/** Whole objects in a given order, some of them on their way while one is used. */
async function* contentsOf(
  bucket: R2Bucket,
  objects: AsyncIterable<R2Object>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const coming: Promise<Uint8Array>[] = [];
  const fetched = async (key: string): Promise<Uint8Array> => {
    const object = await bucket.get(key);
    if (object === null) throw new Error(`The object ${key} has vanished`);
    return new Uint8Array(await object.arrayBuffer());
  };
  for await (const { key } of objects) {
    const content = fetched(key);
    // Whoever waits for it hears of its failure; where nobody does any more, nobody cares.
    content.catch(() => {});
    coming.push(content);
    if (coming.length === READ_AHEAD) yield await coming.shift()!;
  }
  for (const content of coming) yield await content;
}

/** The part's first `bytes`. @throws {Error} when there are fewer */
async function* beginning(bucket: R2Bucket, prefix: string, bytes: number) {
  let left = bytes;
  for await (const content of contentsOf(bucket, neededOf(objectsUnder(bucket, prefix), bytes))) {
    yield content.subarray(0, left);
    left -= Math.min(left, content.length);
  }
  if (left > 0) throw new Error(`${prefix} holds ${bytes - left} bytes instead of ${bytes}`);
}

/** As many objects as hold the first `bytes`. */
async function* neededOf(objects: AsyncIterable<R2Object>, bytes: number) {
  let left = bytes;
  for await (const object of objects) {
    if (left <= 0) return;
    left -= object.size;
    yield object;
  }
}

/** A store in a bucket of Cloudflare R2: an object per file, and per piece that is appended to a part. */
export function createR2Store(bucket: R2Bucket): FileStore {
  async function* partsInOrder(series: string, parts: readonly PartLength[]) {
    for (const { part, bytes } of parts) {
      if (bytes > 0) yield* beginning(bucket, partPrefix(series, part), bytes);
    }
  }

  return {
    write: async (id, content) => putWhole(bucket, fileKey(id), content),
    async read(id) {
      const object = await bucket.get(fileKey(id));
      // The same stream; the types of Workers and of Node name it apart.
      return object === null ? undefined : (object.body as unknown as ReadableStream<Uint8Array>);
    },
    exists: async (id) => (await bucket.head(fileKey(id))) !== null,
    remove: async (id) => bucket.delete(fileKey(id)),
    openPart: async (series, part) => beginPart(bucket, series, part),
    join: async (id, series, parts) => putWhole(bucket, fileKey(id), partsInOrder(series, parts)),
    removeParts: async (series) => deleteUnder(bucket, seriesPrefix(series)),
  };
}
