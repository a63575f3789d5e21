import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { accessKeyKey, accessKeysKey } from '../../../shared/protocol/keys.ts';
import { useRedis } from '../../../test/support/redis.ts';
import { digestOf } from './digest.ts';
import {
  anyKeyExists,
  createKey,
  type KeySettings,
  listKeys,
  MAX_KEYS,
  REVOKED_TTL_MS,
  readKey,
  revokeKey,
} from './key-store.ts';
import { parseKey, secureBytes } from './key-text.ts';

const server = useRedis();
let redis: Redis;
beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(() => redis.flushall());
afterAll(() => redis.disconnect());

const free: KeySettings = {
  name: 'ci',
  class: 'api',
  models: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
};
const create = (settings: Partial<KeySettings> = {}, nowMs = 1_000) =>
  createKey(redis, { ...free, ...settings }, { nowMs, randomBytes: secureBytes });

test('a key is kept as it was made, and its secret is not', async () => {
  const limited = { name: 'a "b"', models: ['m', 'org/n'], requestsPerMinute: 5, tokensPerMinute: 900 };
  for (const [settings, keyClass] of [
    [{}, 'api'],
    [limited, 'api'],
    [{}, 'admin'],
  ] as const) {
    const { key, text } = await create({ ...settings, class: keyClass });
    const { id, secret } = parseKey(text)!;
    expect(key).toEqual({
      ...free,
      ...settings,
      class: keyClass,
      id,
      digest: await digestOf(secret),
      createdAtMs: 1_000,
      revokedAtMs: null,
    });
    expect(await readKey(redis, id)).toEqual(key);
    const names = await redis.keys('*');
    const held = await Promise.all(
      names.filter((name) => name !== accessKeysKey).map((name) => redis.hgetall(name)),
    );
    expect(JSON.stringify([names, held])).not.toContain(secret);
  }
});

test('keys are listed from the oldest on', async () => {
  const second = await create({ name: 'second' }, 2_000);
  const first = await create({ name: 'first' }, 1_000);
  expect(await listKeys(redis)).toEqual([first.key, second.key]);
});

test('a revocation happens once, is listed, and is forgotten after its time', async () => {
  const { key } = await create();
  expect(await revokeKey(redis, key.id, 5_000)).toBe('revoked');
  expect(await revokeKey(redis, key.id, 6_000)).toBe('already');
  expect(await listKeys(redis)).toEqual([{ ...key, revokedAtMs: 5_000 }]);
  const leftMs = await redis.pttl(accessKeyKey(key.id));
  expect(leftMs).toBeGreaterThan(REVOKED_TTL_MS - 60_000);
  expect(leftMs).toBeLessThanOrEqual(REVOKED_TTL_MS);
});

test('a key that does not exist is not revoked, and not made by it', async () => {
  expect(await revokeKey(redis, '0123456789abcdef', 1)).toBe('unknown');
  expect(await redis.dbsize()).toBe(0);
});

test('once there was a key there is need for one, though it be revoked and forgotten', async () => {
  expect(await anyKeyExists(redis)).toBe(false);
  const { key } = await create();
  await revokeKey(redis, key.id, 1);
  await redis.del(accessKeyKey(key.id));
  expect(await listKeys(redis)).toEqual([]);
  expect(await anyKeyExists(redis)).toBe(true);
  const next = await create();
  expect(await redis.smembers(accessKeysKey)).toEqual([next.key.id]);
});

test('there are no more keys than the limit', async () => {
  const ids = Array.from({ length: MAX_KEYS }, (_, index) => String(index));
  const writes = redis.pipeline().sadd(accessKeysKey, ...ids);
  for (const id of ids) writes.hset(accessKeyKey(id), { digest: '' });
  await writes.exec();
  await expect(create()).rejects.toThrow(JanusError);
  await expect(create()).rejects.toThrow(/10000 API keys.*janus keys revoke/);
  await redis.del(accessKeyKey('7'));
  await create();
  expect(await redis.scard(accessKeysKey)).toBe(MAX_KEYS);
});
