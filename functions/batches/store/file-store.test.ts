import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startBucket, type TestBucket } from '../../../test/support/gateway/bucket.ts';
import { createDiskStore } from './disk-store.ts';
import type { FileStore } from './file-store.ts';
import { PIECE_BYTES } from './r2-objects.ts';
import { createR2Store } from './r2-store.ts';

/** More than a piece of an upload to R2. */
const LARGE_BYTES = PIECE_BYTES + 12_345;
const CHUNK_BYTES = 999_983;

/** A store of one kind. */
interface StoreBed {
  readonly store: FileStore;
  /** Files and parts that it holds: names of files, and anything of parts. */
  readonly held: () => Promise<string[]>;
  readonly close: () => Promise<void>;
}

async function diskBed(): Promise<StoreBed> {
  const parent = await mkdtemp(join(tmpdir(), 'janus-store-'));
  const folder = join(parent, 'files');
  return {
    store: createDiskStore(folder),
    held: async () => (await readdir(folder).catch(() => [])).sort(),
    close: () => rm(parent, { recursive: true }),
  };
}

async function r2Bed(): Promise<StoreBed> {
  const { bucket, keys, close }: TestBucket = await startBucket();
  return {
    store: createR2Store(bucket),
    held: async () => (await keys()).map((key) => key.replace(/^files\//, '')),
    close,
  };
}

async function* bytesOf(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

/** Bytes of which no two neighbouring chunks are alike. */
const largeBytes = (): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: LARGE_BYTES }, (_, index) => (index * 31 + (index >> 12)) & 0xff);

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

describe.each([
  ['a folder', diskBed],
  ['a bucket', r2Bed],
])('%s', (_, open) => {
  let bed: StoreBed;
  let store: FileStore;
  beforeAll(async () => {
    bed = await open();
    store = bed.store;
  });
  afterAll(() => bed.close());

  async function bytesIn(id: string): Promise<Uint8Array | undefined> {
    const stream = await store.read(id);
    return stream === undefined ? undefined : new Uint8Array(await new Response(stream).arrayBuffer());
  }
  async function textOf(id: string): Promise<string | undefined> {
    const bytes = await bytesIn(id);
    return bytes && new TextDecoder().decode(bytes);
  }

  test('holds a file once it is whole', async () => {
    expect(await store.exists('file-a')).toBe(false);
    expect(await store.write('file-a', bytesOf('one', '', 'two'))).toBe(6);
    expect(await store.exists('file-a')).toBe(true);
    expect(await textOf('file-a')).toBe('onetwo');
    expect(await store.write('file-a', bytesOf('three'))).toBe(5);
    expect(await textOf('file-a')).toBe('three');
    await store.remove('file-a');
    await store.remove('file-a');
    expect(await store.exists('file-a')).toBe(false);
    expect(await textOf('file-a')).toBeUndefined();
    expect(await store.write('file-empty', bytesOf())).toBe(0);
    expect(await textOf('file-empty')).toBe('');
    await store.remove('file-empty');
  });

  test.each([0, LARGE_BYTES])('holds nothing of a file that breaks off after %i bytes', async (count) => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      if (count > 0) yield* chunksOf(new Uint8Array(count));
      throw new Error('gone');
    }
    await expect(store.write('file-a', broken())).rejects.toThrow('gone');
    expect(await bed.held()).toEqual([]);
  });

  test('holds large files, also joined, and gives them back as they were', async () => {
    const bytes = largeBytes();
    expect(await store.write('file-a', chunksOf(bytes))).toBe(LARGE_BYTES);
    expect(Buffer.compare((await bytesIn('file-a'))!, bytes)).toBe(0);
    const writer = await store.openPart('large', 'p');
    for await (const chunk of chunksOf(bytes)) await writer.append(chunk);
    await writer.close();
    const length = PIECE_BYTES + 1;
    expect(await store.join('file-b', 'large', [{ part: 'p', bytes: length }])).toBe(length);
    expect(Buffer.compare((await bytesIn('file-b'))!, bytes.subarray(0, length))).toBe(0);
    await store.removeParts('large');
    expect(await bed.held()).toEqual(['file-a', 'file-b']);
    await store.remove('file-a');
    await store.remove('file-b');
  });

  test('joins a file from the beginnings of its parts', async () => {
    for (const [part, text] of [
      ['p', 'one|rest'],
      ['q', 'two|rest'],
      ['r', 'rest'],
    ] as const) {
      const writer = await store.openPart('series', part);
      await writer.append(Buffer.from(text.slice(0, 2)));
      await writer.append(Buffer.from(text.slice(2)));
      await writer.close();
    }
    await (await store.openPart('series-2', 'p')).close();
    const parts = [
      { part: 'q', bytes: 3 },
      { part: 'r', bytes: 0 },
      { part: 'p', bytes: 3 },
    ];
    expect(await store.join('file-b', 'series', parts)).toBe(6);
    expect(await textOf('file-b')).toBe('twoone');
    const tooLong = store.join('file-c', 'series', [{ part: 'p', bytes: 9 }]);
    await expect(tooLong).rejects.toThrow('8 bytes instead of 9');
    expect(await store.exists('file-c')).toBe(false);
    await store.removeParts('series');
    expect(await bed.held()).toEqual(['file-b', expect.stringContaining('series-2')]);
    await store.removeParts('series-2');
    await store.remove('file-b');
    expect(await bed.held()).toEqual([]);
  });

  test('lets a part have one writer', async () => {
    const writer = await store.openPart('series', 'p');
    await expect(store.openPart('series', 'p')).rejects.toThrow(/EEXIST|begun before/);
    await writer.append(Buffer.from('x'));
    await writer.close();
    await expect(store.openPart('series', 'p')).rejects.toThrow(/EEXIST|begun before/);
    await store.removeParts('series');
  });

  test.each(['../up', 'a/b', '', '.', 'a.part'])('refuses the name %j', async (name) => {
    await expect(store.read(name)).rejects.toThrow('cannot name a file');
    await expect(store.exists(name)).rejects.toThrow('cannot name a file');
    await expect(store.remove(name)).rejects.toThrow('cannot name a file');
    await expect(store.removeParts(name)).rejects.toThrow('cannot name a file');
    await expect(store.openPart('series', name)).rejects.toThrow('cannot name a file');
    await expect(store.join('file-a', 'series', [{ part: name, bytes: 1 }])).rejects.toThrow(
      'cannot name a file',
    );
    await expect(store.write(name, bytesOf('x'))).rejects.toThrow('cannot name a file');
  });
});
