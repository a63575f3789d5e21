import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GENERATIONS, othersFor, type Seed } from '../../../test/support/fuzz/seeds.ts';
import { MODEL, readJson } from '../../../test/support/gateway/bed.ts';
import { bearing, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';
import { KEY_CACHE_MS } from './access.ts';
import { revokeKey } from './key-store.ts';
import { parseKey } from './key-text.ts';

/** What needs no key: it tells nothing of models, or that there is nothing. */
const PUBLIC = ['/', '/health', '/ready', '/openapi.json', '/docs'];
const ADMIN = ['/metrics', '/admin/anything'];
const ids = { file: 'file-a', spareFile: 'file-b', batch: 'batch_a' };
const all = [...GENERATIONS, ...othersFor(ids)];
const guarded = all.filter(({ path }) => !PUBLIC.includes(path));

let folder: string;
let bed: KeyedBed;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'janus-keys-'));
  bed = await createKeyedBed({ files: { folder } });
});
afterAll(async () => {
  await bed.close();
  await rm(folder, { recursive: true });
});

const send = ({ method, path, json }: Seed, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(bed.address + path, {
    method,
    headers,
    ...(method === 'POST' && { body: JSON.stringify(json ?? {}) }),
  });

/** The statuses of all requests, each with its address. */
const outcomes = (seeds: readonly Seed[], headers: Record<string, string> = {}) =>
  Promise.all(
    seeds.map(async (seed) => {
      const response = await send(seed, headers);
      await response.text();
      return `${seed.method} ${seed.path}: ${response.status}`;
    }),
  );
const each = (seeds: readonly Seed[], status: number) =>
  seeds.map(({ method, path }) => `${method} ${path}: ${status}`);

test('every route asks for a key, but for those that tell of nothing', async () => {
  const before = bed.pool.jobs.length;
  expect(await outcomes(guarded)).toEqual(each(guarded, 401));
  for (const seed of all.filter(({ path }) => PUBLIC.includes(path))) {
    expect((await send(seed)).status).not.toBe(401);
  }
  expect(bed.pool.jobs).toHaveLength(before);
});

test('every route refuses a key that is wrong, or was revoked', async () => {
  const revoked = await bed.makeKey();
  await revokeKey(bed.redis.client, parseKey(revoked)!.id, Date.now());
  await sleep(KEY_CACHE_MS + 20);
  const wrong = `${(await bed.makeKey()).slice(0, -1)}x`;
  for (const key of [revoked, wrong])
    expect(await outcomes(guarded, bearing(key))).toEqual(each(guarded, 401));
});

test('every route refuses a key of the other class', async () => {
  const [ours, admins] = [
    guarded.filter(({ path }) => !ADMIN.includes(path)),
    guarded.filter(({ path }) => ADMIN.includes(path)),
  ];
  expect(await outcomes(ours, bearing(await bed.makeKey({ class: 'admin' })))).toEqual(each(ours, 403));
  expect(await outcomes(admins, bearing(await bed.makeKey()))).toEqual(each(admins, 403));
});

test('whatever generates knows no model that the key does not allow', async () => {
  const key = await bed.makeKey({ models: ['another'] });
  const before = bed.pool.jobs.length;
  for (const seed of GENERATIONS) {
    const response = await send(seed, bearing(key));
    expect([seed.path, response.status]).toEqual([seed.path, 404]);
    const { error } = await readJson(response);
    expect(error).toMatchObject({ code: 'model_not_found', param: 'model' });
    expect(error.message).toContain(MODEL);
  }
  expect(bed.pool.jobs).toHaveLength(before);
});
