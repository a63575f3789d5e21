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

async function* oneByte(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('x');
}

test('its folder is made when the first file comes', async () => {
  expect(await store.exists('file-a')).toBe(false);
  expect(await readdir(parent)).toEqual([]);
  await store.write('file-a', oneByte());
  expect(await readdir(folder)).toEqual(['file-a']);
});

test('leftovers of processes that were killed are dropped when they are old, and nothing else', async () => {
  await store.write('file-a', oneByte());
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
