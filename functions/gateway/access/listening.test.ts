import { describe, expect, test } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { accessKeysKey } from '../../../shared/protocol/keys.ts';
import { startRedis } from '../../../test/support/gateway/redis-server.ts';
import { startGateway } from '../node.ts';
import { createKey } from './key-store.ts';
import { secureBytes } from './key-text.ts';
import { mayBeAnonymous } from './listening.ts';

test.each([
  ['127.0.0.1', true],
  ['127.1.2.3', true],
  ['::1', true],
  ['localhost', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.0.0.1', false],
  ['127.0.0.1.example', false],
  ['gateway.example', false],
  ['', false],
])('only this machine can send requests to %j: %s', (host, only) => {
  expect(mayBeAnonymous({ host, allowAnonymous: false })).toBe(only);
  expect(mayBeAnonymous({ host, allowAnonymous: true })).toBe(true);
});

describe('a gateway that other machines reach', () => {
  const onAllInterfaces = (redisUrl: string, allowAnonymous = false) =>
    startGateway({
      redisUrl,
      host: '0.0.0.0',
      port: 0,
      allowAnonymous,
      registryCacheMs: 0,
      log: { warn() {}, error() {} },
    });
  const statusOf = async (port: number, headers: Record<string, string> = {}) =>
    (await fetch(`http://127.0.0.1:${port}/v1/models`, { headers })).status;

  test('does not start without a key, and says what to do', async () => {
    const redis = await startRedis();
    const started = onAllInterfaces(redis.url);
    await expect(started).rejects.toThrow(JanusError);
    await expect(started).rejects.toThrow(/0\.0\.0\.0.*janus keys create.*--allow-anonymous.*127\.0\.0\.1/);
    await redis.stop();
  });

  test('lets everybody in where that is said', async () => {
    const redis = await startRedis();
    const gateway = await onAllInterfaces(redis.url, true);
    expect(await statusOf(gateway.port)).toBe(200);
    await gateway.close(0);
    await redis.stop();
  });

  test('takes keys, and lets nobody in when they are lost', async () => {
    const redis = await startRedis();
    const { text } = await createKey(
      redis.client,
      { name: 'a', class: 'api', models: null, requestsPerMinute: null, tokensPerMinute: null },
      { nowMs: 0, randomBytes: secureBytes },
    );
    const gateway = await onAllInterfaces(redis.url);
    expect(await statusOf(gateway.port)).toBe(401);
    expect(await statusOf(gateway.port, { Authorization: `Bearer ${text}` })).toBe(200);
    await redis.client.flushall();
    expect(await redis.client.exists(accessKeysKey)).toBe(0);
    expect(await statusOf(gateway.port)).toBe(401);
    await gateway.close(0);
    await redis.stop();
  });
});
