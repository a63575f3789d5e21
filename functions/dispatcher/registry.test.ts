import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hostKey, membersKey, scalingTargetKey } from '../../shared/protocol/keys.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { announce, hostRecord, modelCard } from '../../test/support/gateway/scripted-pool.ts';
import { createRegistry } from './registry.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
beforeEach(() => redis.client.flushall());
afterAll(() => redis.stop());

const setHost = async (host: string, record: object) => {
  await redis.client.sadd(membersKey('m'), host);
  await redis.client.set(hostKey('m', host), JSON.stringify(record));
};

describe('a model', () => {
  const stateOf = (model: string) => createRegistry(redis.client).modelState(model);

  test('is unknown until a pool announces it', async () => {
    expect(await stateOf('m')).toBe('unknown');
  });

  test('is ready with an attention and an expert instance that are ready, on one host or on two', async () => {
    await announce(redis.client, 'm', 'ready');
    expect(await stateOf('m')).toBe('ready');
    const { attention, experts, ...host } = hostRecord('m', 'host', 'ready');
    await setHost('host', { ...host, attention, experts: [] });
    expect(await createRegistry(redis.client).find('m')).toEqual({
      card: modelCard('m'),
      state: 'loading',
      missing: ['an expert instance that is ready (0 known)'],
      slots: 8,
      isScaled: false,
    });
    await setHost('other', { ...host, host: 'other', attention: [], experts });
    expect(await stateOf('m')).toBe('ready');
  });

  test.each(['starting', 'loading', 'draining', 'gone'] as const)(
    'is loading while its host is %s',
    async (state) => {
      await announce(redis.client, 'm', state);
      expect(await stateOf('m')).toBe('loading');
    },
  );

  test('is scaled when somebody has set what its scaler is to keep to', async () => {
    await announce(redis.client, 'm', 'gone');
    await redis.client.set(scalingTargetKey('m'), '{}');
    expect(await createRegistry(redis.client).find('m')).toMatchObject({ state: 'loading', isScaled: true });
    await redis.client.del(hostKey('m', 'host'));
    expect(await createRegistry(redis.client).find('m')).toMatchObject({ state: 'asleep', isScaled: true });
  });

  test('is loading when the record of its host has expired, though the set still names it', async () => {
    await announce(redis.client, 'm', 'ready');
    await redis.client.del(hostKey('m', 'host'));
    expect(await stateOf('m')).toBe('loading');
  });
});

describe('the list of models', () => {
  test('is in order of ids', async () => {
    for (const model of ['b', 'c', 'a']) await announce(redis.client, model, 'loading');
    const models = await createRegistry(redis.client).models();
    expect(models.map(({ card }) => card.id)).toEqual(['a', 'b', 'c']);
  });

  test('is read again only when it is too old', async () => {
    let nowMs = 0;
    const registry = createRegistry(redis.client, { cacheMs: 1_000, clock: { nowMs: () => nowMs } });
    expect(await registry.modelState('m')).toBe('unknown');
    await announce(redis.client, 'm', 'ready');
    nowMs = 999;
    expect(await registry.modelState('m')).toBe('unknown');
    nowMs = 1_000;
    expect(await registry.modelState('m')).toBe('ready');
  });
});
