import type { R2Bucket, R2MultipartUpload, R2Object, R2UploadedPart } from '@cloudflare/workers-types';

/** Bytes that one upload holds; of several pieces R2 takes none that is smaller, but for the last, and all of one size. */
export const PIECE_BYTES = 5 * 1024 * 1024;
/** Objects that one list names, and one deletion takes. */
const PAGE_OBJECTS = 1_000;

/** Content on its way into one object, in pieces of {@link PIECE_BYTES}. What fits into one is put whole. */
class PiecewisePut {
  readonly #bucket: R2Bucket;
  readonly #key: string;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #uploaded: R2UploadedPart[] = [];
  #filled = 0;
  #upload: R2MultipartUpload | undefined;

  constructor(bucket: R2Bucket, key: string) {
    this.#bucket = bucket;
    this.#key = key;
  }

  async add(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      // Only when more comes: the last piece ends the upload.
      if (this.#filled === PIECE_BYTES) await this.#send();
      const bytes = chunk.subarray(at, at + PIECE_BYTES - this.#filled);
      this.#piece.set(bytes, this.#filled);
      this.#filled += bytes.length;
      at += bytes.length;
    }
  }

  async end(): Promise<void> {
    if (this.#upload === undefined) {
      await this.#bucket.put(this.#key, this.#piece.slice(0, this.#filled));
      return;
    }
    await this.#send();
    await this.#upload.complete(this.#uploaded);
  }

  async abort(): Promise<void> {
    await this.#upload?.abort();
  }

  async #send(): Promise<void> {
    this.#upload ??= await this.#bucket.createMultipartUpload(this.#key);
    const number = this.#uploaded.length + 1;
    this.#uploaded.push(await this.#upload.uploadPart(number, this.#piece.slice(0, this.#filled)));
    this.#filled = 0;
  }
}

/**
 * Makes one object of some content, whole or not at all. A process that is killed meanwhile leaves an upload, which R2 drops
 * by itself after a week.
 *
 * @returns its size in bytes
 * @throws what `content` throws
 */
export async function putWhole(
  bucket: R2Bucket,
  key: string,
  content: AsyncIterable<Uint8Array>,
): Promise<number> {
  const put = new PiecewisePut(bucket, key);
  let size = 0;
  try {
    for await (const chunk of content) {
      await put.add(chunk);
      size += chunk.length;
    }
    await put.end();
    return size;
  } catch (error) {
    // What went wrong first is what counts.
    await put.abort().catch(() => {});
    throw error;
  }
}

const at = (cursor: string | undefined) => (cursor === undefined ? {} : { cursor });

/** Objects whose keys begin with `prefix`, in the order of their keys. */
export async function* objectsUnder(
  bucket: R2Bucket,
  prefix: string,
): AsyncGenerator<R2Object, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await bucket.list({ prefix, limit: PAGE_OBJECTS, ...at(cursor) });
    yield* page.objects;
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
}

/** Deletes all objects whose keys begin with `prefix`. */
export async function deleteUnder(bucket: R2Bucket, prefix: string): Promise<void> {
  for (;;) {
    const { objects, truncated } = await bucket.list({ prefix, limit: PAGE_OBJECTS });
    if (objects.length > 0) await bucket.delete(objects.map(({ key }) => key));
    if (!truncated) return;
  }
}

/** Beginnings of keys, from `prefix` up to the next `/`, which is a part of them. */
export async function foldersUnder(bucket: R2Bucket, prefix: string): Promise<readonly string[]> {
  const folders: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await bucket.list({ prefix, delimiter: '/', limit: PAGE_OBJECTS, ...at(cursor) });
    folders.push(...page.delimitedPrefixes);
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return folders;
}
