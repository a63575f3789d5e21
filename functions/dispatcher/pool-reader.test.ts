import { Queue } from 'bullmq';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  givenUpPlacementKey,
  hostKey,
  placementKey,
  placementTimeKey,
  QUEUE_PREFIX,
  requestQueueName,
} from '../../shared/protocol/keys.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { announce, hostRecord } from '../../test/support/gateway/scripted-pool.ts';
import { createPoolReader } from './pool-reader.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
beforeEach(() => redis.client.flushall());
afterAll(() => redis.stop());

const read = () => createPoolReader(redis.client).read();

test('tells of the living hosts of all announced models, in order of their ids', async () => {
  expect(await read()).toEqual([]);
  for (const host of ['one', 'two', 'dead']) await announce(redis.client, 'b', 'ready', host);
  await redis.client.del(hostKey('b', 'dead'));
  await announce(redis.client, 'a', 'loading');
  const [a, b] = await read();
  expect(a).toEqual({
    model: 'a',
    hosts: [hostRecord('a', 'host', 'loading')],
    placement: null,
    queued: 0,
  });
  expect(b!.model).toBe('b');
  expect(b!.hosts.map(({ host }) => host).toSorted()).toEqual(['one', 'two']);
});

test('counts what waits in the queue at any priority, and what waits for a further attempt', async () => {
  await announce(redis.client, 'm:1', 'ready');
  const queue = new Queue(requestQueueName('m:1'), { connection: redis.client, prefix: QUEUE_PREFIX });
  const job = (opts: object) => ({ name: 'sequence', data: {}, opts });
  await queue.addBulk([{}, { priority: 0 }, { priority: 1 }, { priority: 5 }, { delay: 60_000 }].map(job));
  const counts = await queue.getJobCounts('wait', 'prioritized', 'delayed');
  await queue.close();
  expect(counts).toEqual({ wait: 2, prioritized: 2, delayed: 1 });
  expect((await read())[0]!.queued).toBe(5);
});

test('tells which placement is in force, and since when where that is known', async () => {
  await announce(redis.client, 'm', 'ready');
  await redis.client.set(placementKey('m'), JSON.stringify({ version: 12, layers: [] }));
  expect((await read())[0]!.placement).toEqual({ version: 12, publishedAtMs: null });
  await redis.client.set(placementTimeKey('m'), '1700000000123');
  expect((await read())[0]!.placement).toEqual({ version: 12, publishedAtMs: 1_700_000_000_123 });
  await redis.client.set(givenUpPlacementKey('m'), '13');
  expect((await read())[0]!.placement).toMatchObject({ version: 12, givenUpVersion: 13 });
});
