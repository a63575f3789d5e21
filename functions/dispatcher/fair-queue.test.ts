import { QueueKeys } from 'bullmq';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  backlogsOf,
  EMPTY_FAIR_STATE,
  levelPriority,
  reserveTags,
  UNPLACED_TAG,
} from '../../shared/admission/fair-priority.ts';
import { fairOrderKey, QUEUE_PREFIX, requestQueueName } from '../../shared/protocol/keys.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { placeFairly, readWaitingJobs } from './fair-queue.ts';

const MODEL = 'org/model:v1';
const LEVEL = 2;

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
beforeEach(() => redis.client.flushall());
afterAll(() => redis.stop());

const keyOf = (type: string) => new QueueKeys(QUEUE_PREFIX).toKey(requestQueueName(MODEL), type);
const scoreOf = (tag: number) => (levelPriority(LEVEL) + tag) * 2 ** 32;

let arrivals = 0;
/** Puts a job where BullMQ does. */
async function queue(job: string, tag = UNPLACED_TAG): Promise<void> {
  arrivals += 1;
  await redis.client.zadd(keyOf('prioritized'), scoreOf(tag) + arrivals, job);
}

/** Queues jobs of an owner and gives them their places. @returns the first one's tag */
async function join(owner: string, ...ids: string[]): Promise<number> {
  for (const id of ids) await queue(id);
  await placeFairly(redis.client, { model: MODEL, level: LEVEL, owner, ids });
  return Math.floor(
    (Number(await redis.client.zscore(keyOf('prioritized'), ids[0]!)) - scoreOf(0)) / 2 ** 32,
  );
}

/** Takes a job as BullMQ does. */
async function take(): Promise<string | undefined> {
  const [job] = await redis.client.zpopmin(keyOf('prioritized'));
  return job;
}

test('gives the tags of the pure policy, and tells the same backlogs', async () => {
  const owner = fc.constantFrom('a', 'b', 'c');
  const happening = fc.option(fc.tuple(owner, fc.integer({ min: 1, max: 4 })), { nil: null });
  const play = fc.asyncProperty(fc.array(happening, { maxLength: 30 }), async (events) => {
    await redis.client.flushall();
    let state = EMPTY_FAIR_STATE;
    const waiting: number[] = [];
    let names = 0;
    const headTag = () => (waiting.length === 0 ? null : Math.min(...waiting));
    for (const event of events) {
      if (event === null) {
        if ((await take()) !== undefined) waiting.splice(waiting.indexOf(headTag()!), 1);
        continue;
      }
      const [who, count] = event;
      const reserved = reserveTags(state, who, count, headTag());
      state = reserved.state;
      const ids = Array.from({ length: count }, () => `job${names++}`);
      expect(await join(who, ...ids)).toBe(reserved.firstTag);
      for (let index = 0; index < count; index++) waiting.push(reserved.firstTag + index);
    }
    const { backlogs } = await readWaitingJobs(redis.client, MODEL, LEVEL);
    expect(backlogs).toEqual(backlogsOf(state, headTag()));
  });
  await fc.assert(play, { numRuns: 25 });
});

test('is fair to who comes after many that came at once, when none of those has its place yet', async () => {
  for (let index = 0; index < 50; index++) await queue(`a${index}`);
  for (let index = 0; index < 50; index++) {
    await placeFairly(redis.client, { model: MODEL, level: LEVEL, owner: 'a', ids: [`a${index}`] });
  }
  await join('b', 'b0');
  expect([await take(), await take(), await take()]).toEqual(['a0', 'b0', 'a1']);
});

test('needs no place for what is taken already, which comes first where it comes back', async () => {
  await redis.client.hset(keyOf('taken'), 'priority', levelPriority(LEVEL) + UNPLACED_TAG);
  await placeFairly(redis.client, { model: MODEL, level: LEVEL, owner: 'a', ids: ['taken'] });
  expect(await take()).toBeUndefined();
  expect(await redis.client.exists(fairOrderKey(MODEL, LEVEL))).toBe(0);
  expect(await redis.client.hget(keyOf('taken'), 'priority')).toBe(String(levelPriority(LEVEL)));
});

test('moves everything back when half of the tags are used up, also what comes back to the queue later', async () => {
  const half = Math.ceil(UNPLACED_TAG / 2);
  await redis.client.hset(fairOrderKey(MODEL, LEVEL), { virtual: half - 2, latest: half - 2 });
  expect(await join('a', 'a0', 'a1', 'a2', 'a3')).toBe(half - 2);
  expect(await join('b', 'b0', 'b1')).toBe(half - 2);
  expect([await take(), await take(), await take(), await take()]).toEqual(['a0', 'b0', 'a1', 'b1']);

  expect(await join('c', 'c0')).toBe(0);
  await queue('b1', half - 1);
  expect(await join('d', 'd0')).toBe(0);
  expect(await redis.client.hget(keyOf('a3'), 'priority')).toBe(String(levelPriority(LEVEL) + 1));
  const order = [await take(), await take(), await take(), await take(), await take()];
  expect(order).toEqual(['a2', 'c0', 'b1', 'd0', 'a3']);
  expect(await redis.client.pttl(fairOrderKey(MODEL, LEVEL))).toBeGreaterThan(0);
});

test('places what uses up all tags in order of arrival, before what has no place', async () => {
  await redis.client.hset(fairOrderKey(MODEL, LEVEL), { virtual: 0, latest: 1, 'owner:a': UNPLACED_TAG - 1 });
  await queue('first', 0);
  await join('a', 'a0', 'a1', 'a2');
  await queue('unplaced');
  const order = [await take(), await take(), await take(), await take(), await take()];
  expect(order).toEqual(['first', 'a0', 'a1', 'a2', 'unplaced']);
});

test('counts what goes before a level, and what no owner is known of', async () => {
  await queue('earlier', -1);
  await queue('later', UNPLACED_TAG + 1);
  await redis.client.lpush(keyOf('wait'), 'first of all');
  await redis.client.lpush(keyOf('active'), 'held', 'held too');
  await join('a', 'a0', 'a1');
  await queue('nobody', 0);
  expect(await readWaitingJobs(redis.client, MODEL, LEVEL)).toEqual({
    held: 2,
    earlier: 2,
    backlogs: new Map([
      ['a', 2],
      ['', 1],
    ]),
  });
});
