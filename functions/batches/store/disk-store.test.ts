import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createDiskStore, removeLeftovers } from './disk-store.ts';
import type { FileStore } from './file-store.ts';

let parent: string;
let folder: string;
let store: FileStore;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'janus-store-'));
  folder = join(parent, 'files');
  store = createDiskStore(folder);
});
afterEach(() => rm(parent, { recursive: true }));

async function* bytesOf(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

async function textOf(id: string): Promise<string | undefined> {
  const stream = await store.read(id);
  return stream === undefined ? undefined : new Response(stream).text();
}

test('a file is there once it is whole, and its folder only then', async () => {
  expect(await store.exists('file-a')).toBe(false);
  expect(await readdir(parent)).toEqual([]);
  expect(await store.write('file-a', bytesOf('one', '', 'two'))).toBe(6);
  expect(await store.exists('file-a')).toBe(true);
  expect(await textOf('file-a')).toBe('onetwo');
  await store.remove('file-a');
  await store.remove('file-a');
  expect(await textOf('file-a')).toBeUndefined();
});

test('nothing is left of a file whose content breaks off', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('one');
    throw new Error('gone');
  }
  await expect(store.write('file-a', broken())).rejects.toThrow('gone');
  expect(await readdir(folder)).toEqual([]);
});

test('a file is joined from the beginnings of its parts', async () => {
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
  const parts = [
    { part: 'q', bytes: 3 },
    { part: 'r', bytes: 0 },
    { part: 'p', bytes: 3 },
  ];
  expect(await store.join('file-b', 'series', parts)).toBe(6);
  expect(await textOf('file-b')).toBe('twoone');
  await expect(store.join('file-c', 'series', [{ part: 'p', bytes: 9 }])).rejects.toThrow(
    '8 bytes instead of 9',
  );
  expect(await store.exists('file-c')).toBe(false);
  await store.removeParts('series');
  expect(await readdir(folder)).toEqual(['file-b']);
});

test('a part has one writer', async () => {
  const writer = await store.openPart('series', 'p');
  await expect(store.openPart('series', 'p')).rejects.toThrow('EEXIST');
  await writer.close();
});

test.each(['../up', 'a/b', '', '.', 'a.part'])('the name %j is refused', async (name) => {
  await expect(store.read(name)).rejects.toThrow('cannot name a file');
  await expect(store.openPart('series', name)).rejects.toThrow('cannot name a file');
  await expect(store.write(name, bytesOf('x'))).rejects.toThrow('cannot name a file');
});

test('leftovers of processes that were killed are dropped when they are old, and nothing else', async () => {
  await store.write('file-a', bytesOf('x'));
  const old = ['file-a-1.new', 'batch_x_output.p.part', 'file-old'];
  for (const name of [...old, 'file-a-2.new', 'batch_y_output.p.part'])
    await writeFile(join(folder, name), 'x');
  for (const name of old) await utimes(join(folder, name), 1, 1);
  await removeLeftovers(folder, 2_000);
  expect((await readdir(folder)).sort()).toEqual([
    'batch_y_output.p.part',
    'file-a',
    'file-a-2.new',
    'file-old',
  ]);
  expect(await readFile(join(folder, 'file-a'), 'utf8')).toBe('x');
  await removeLeftovers(join(parent, 'none'), 2_000);
});
