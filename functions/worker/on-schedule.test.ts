import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { wantedSizesKey } from '../../shared/protocol/keys.ts';
import { announce } from '../../test/support/gateway/scripted-pool.ts';
import { useRedis } from '../../test/support/redis.ts';
import { PROFILE, TARGET } from '../scaler/scaler.fixture.ts';
import { storeProfile, storeTarget } from '../scaler/scaler-store.ts';
import { createIsolate } from './isolate.ts';
import { onSchedule } from './on-schedule.ts';

const server = useRedis();

test('a cron trigger chooses the sizes of pools that have a target, and of no others', async () => {
  const redis = new Redis(server.url);
  for (const model of ['with', 'without']) await announce(redis, model, 'ready');
  await storeTarget(redis, 'with', TARGET);
  await storeProfile(redis, 'with', PROFILE);
  const bindings = { REDIS_URL: server.url };
  await onSchedule(createIsolate(bindings), bindings);
  const wanted = await redis.mget(['with', 'without'].map(wantedSizesKey));
  redis.disconnect();
  expect(JSON.parse(wanted[0]!)).toMatchObject({ version: 1, attention: 1, experts: 1 });
  expect(wanted[1]).toBeNull();
});
