import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyRequestsKey, keyTokensKey } from '../../../shared/protocol/keys.ts';
import { useRedis } from '../../../test/support/redis.ts';
import { accessKey } from './access-key.fixture.ts';
import { formatDuration } from './rate-headers.ts';
import { createRateLimiter } from './rate-limiter.ts';

const CLIENTS = 50;
/** A short window, so that a test sees its end. Redis counts by whole seconds, so it may last one more. */
const WINDOW_S = 1;
const WHOLE_WINDOW_MS = (WINDOW_S + 1) * 1_000;

const server = useRedis();
let redis: Redis;
let other: Redis;
beforeAll(() => {
  redis = new Redis(server.url);
  other = new Redis(server.url);
});
afterAll(() => {
  redis.disconnect();
  other.disconnect();
});

let keys = 0;
const limited = (requestsPerMinute: number | null, tokensPerMinute: number | null = null) =>
  accessKey({ id: `key-${keys++}`, requestsPerMinute, tokensPerMinute });

describe('limits at their boundary', () => {
  test.each([
    ['requests', limited(20)],
    ['tokens', limited(null, 20 * 7)],
    ['both', limited(20, 1_000)],
  ])('let through of 50 at once exactly as many as fit: %s', async (_, key) => {
    const limiters = [createRateLimiter(redis), createRateLimiter(other)];
    const takings = await Promise.all(
      Array.from({ length: CLIENTS }, (__, client) => limiters[client % 2].take(key, 7)),
    );
    const granted = takings.filter(({ refused }) => refused === null);
    expect(granted).toHaveLength(20);
    expect(granted.map(({ limits: [{ used, amount }] }) => used / amount).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (__, index) => index + 1),
    );
  });

  test('take nothing of one limit where the other refuses', async () => {
    const limiter = createRateLimiter(redis);
    const key = limited(2, 100);
    expect((await limiter.take(key, 101)).refused).toMatchObject({ kind: 'tokens', used: 0, amount: 101 });
    await limiter.take(key, 10);
    await limiter.take(key, 10);
    const third = await limiter.take(key, 10);
    expect(third.refused).toMatchObject({ kind: 'requests', limit: 2, used: 2 });
    expect(third.limits[1]).toMatchObject({ kind: 'tokens', used: 20 });
  });

  test('are kept apart by key, and a key without limits has none', async () => {
    const limiter = createRateLimiter(redis);
    const [one, two] = [limited(1), limited(1)];
    expect((await limiter.take(one, 1)).refused).toBeNull();
    expect((await limiter.take(two, 1)).refused).toBeNull();
    expect((await limiter.take(one, 1)).refused).not.toBeNull();
    expect(await limiter.take(limited(null), 1)).toMatchObject({ limits: [], refused: null });
  });
});

// Each test has keys of its own, and most of its time is waiting.
describe.concurrent('a window', () => {
  test('holds no more than the limit wherever it begins, and lets through again what has left it', async () => {
    const limit = 7;
    const key = limited(limit);
    const endMs = performance.now() + 3 * WHOLE_WINDOW_MS;
    const sentMs: number[] = [];
    const heardMs: number[] = [];
    const client = async (connection: Redis) => {
      const limiter = createRateLimiter(connection, WINDOW_S);
      while (performance.now() < endMs) {
        const askedMs = performance.now();
        if ((await limiter.take(key, 1)).refused === null) {
          sentMs.push(askedMs);
          heardMs.push(performance.now());
        }
        await sleep(20);
      }
    };
    await Promise.all(Array.from({ length: 10 }, (_, index) => client(index % 2 === 0 ? redis : other)));
    sentMs.sort((a, b) => a - b);
    heardMs.sort((a, b) => a - b);
    expect(heardMs.length).toBeGreaterThanOrEqual(2 * limit);
    for (let index = limit; index < heardMs.length; index++) {
      // A millisecond for the rounding of two clocks.
      expect(heardMs[index] - sentMs[index - limit]).toBeGreaterThan(WINDOW_S * 1_000 - 1);
    }
  });

  test('tells when the same will be granted', async () => {
    const limiter = createRateLimiter(redis, WINDOW_S);
    const key = limited(null, 100);
    // Early in a second, so that a slow machine does not reach the next but one.
    await sleep(1_050 - (Date.now() % 1_000));
    await limiter.take(key, 60);
    await sleep(WINDOW_S * 1_000);
    await limiter.take(key, 40);
    const small = await limiter.take(key, 60);
    const large = await limiter.take(key, 61);
    expect(small.refused).not.toBeNull();
    // 60 fit when the first 60 have left, 61 only when everything has.
    expect(large.waitMs - small.waitMs).toBeGreaterThan(WINDOW_S * 1_000 - 200);
    expect(large.waitMs).toBeLessThanOrEqual(WHOLE_WINDOW_MS);
    expect(small.limits[0].resetMs).toBeGreaterThanOrEqual(large.waitMs);
    await sleep(small.waitMs + 5);
    expect((await limiter.take(key, 60)).refused).toBeNull();
  });

  test('leaves nothing behind in Redis', async () => {
    const limiter = createRateLimiter(redis, WINDOW_S);
    const key = limited(9, 9);
    await limiter.take(key, 1);
    for (const name of [keyRequestsKey(key.id), keyTokensKey(key.id)]) {
      const leftMs = await redis.pttl(name);
      expect(leftMs).toBeGreaterThan(0);
      expect(leftMs).toBeLessThanOrEqual(WHOLE_WINDOW_MS);
    }
    for (let second = 0; second < 3; second++) {
      await limiter.take(key, 1);
      await sleep(1_000);
    }
    expect(await redis.hlen(keyRequestsKey(key.id))).toBeLessThanOrEqual(WINDOW_S + 1);
  });

  test('gives no credit for what has left the window', async () => {
    const limiter = createRateLimiter(redis, WINDOW_S);
    const key = limited(null, 100);
    const old = await limiter.take(key, 100);
    const forgotten = limited(null, 100);
    const late = await limiter.take(forgotten, 100);
    await sleep(WHOLE_WINDOW_MS + 5);
    await late.settle(0);
    expect(await redis.exists(keyTokensKey(forgotten.id))).toBe(0);
    expect((await limiter.take(key, 100)).refused).toBeNull();
    await old.settle(0);
    expect((await limiter.take(key, 1)).refused).not.toBeNull();
  });
});

describe('settling', () => {
  const usedBy = async (key: ReturnType<typeof limited>) =>
    (await createRateLimiter(redis).take(key, 0)).limits[0].used;

  test('gives back what was too much, and charges what was too little', async () => {
    const limiter = createRateLimiter(redis);
    const key = limited(null, 100);
    const first = await limiter.take(key, 80);
    expect((await limiter.take(key, 30)).refused).not.toBeNull();
    await first.settle(10);
    expect(await usedBy(key)).toBe(10);
    const second = await limiter.take(key, 30);
    await second.settle(95);
    expect(await usedBy(key)).toBe(105);
    expect((await limiter.take(key, 1)).refused).toMatchObject({ used: 105 });
  });

  test('of nothing spent gives back all, but not the request', async () => {
    const limiter = createRateLimiter(redis);
    const key = limited(1, 100);
    const taking = await limiter.take(key, 100);
    await taking.settle(0);
    const next = await limiter.take(key, 1);
    expect(next.refused?.kind).toBe('requests');
    expect(next.limits[1].used).toBe(0);
  });
});

test.each([
  [0, '0ms'],
  [17, '17ms'],
  [8_640, '8.64s'],
  [60_000, '1m0s'],
  [60_500, '1m0.5s'],
])('%d ms are written as OpenAI does: %s', (ms, text) => expect(formatDuration(ms)).toBe(text));
