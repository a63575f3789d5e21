import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ActivationTrace } from '../../shared/placement/trace.ts';
import { activationTraceKey, activationTraceTimesKey } from '../../shared/protocol/keys.ts';
import { useRedis } from '../../test/support/redis.ts';
import { allocateTraceMemory, TraceSampler } from '../attention/trace-sampler.ts';
import { readTrace, startTraceStoring, storeTrace } from './trace-store.ts';

const MODEL = 'words';
const SHAPE = { layers: 1, experts: 8, expertsPerToken: 1 };
const server = useRedis();
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(() => redis.flushall());
afterAll(() => redis.disconnect());

function traceOf(...experts: number[]): ActivationTrace {
  const trace = new ActivationTrace(SHAPE, 16);
  trace.record(0, experts, experts.length);
  return trace;
}

test('the windows of several instances are read as one trace; a window replaces the one before it', async () => {
  expect(await readTrace(redis, MODEL)).toBeNull();
  await storeTrace(redis, MODEL, 'b-0', traceOf(5));
  await storeTrace(redis, MODEL, 'a-0', traceOf(7));
  await storeTrace(redis, MODEL, 'a-0', traceOf(1, 2));
  expect([...(await readTrace(redis, MODEL))!.window(0)]).toEqual([1, 2, 5]);
});

/** Far longer than a busy machine takes between two commands. */
const LIFE_MS = 400;

test('the window of an instance that is gone is dropped by the others, and all of them in time', async () => {
  await storeTrace(redis, MODEL, 'gone', traceOf(5), 10_000);
  await sleep(LIFE_MS + 10);
  await storeTrace(redis, MODEL, 'living', traceOf(1), LIFE_MS);
  expect([...(await readTrace(redis, MODEL))!.window(0)]).toEqual([1]);
  const left = () => redis.exists(activationTraceKey(MODEL), activationTraceTimesKey(MODEL));
  await expect.poll(left, { timeout: 10 * LIFE_MS }).toBe(0);
});

test('a host stores what its instances saw, at intervals, and ends when told to', async () => {
  const memory = allocateTraceMemory(SHAPE, 16);
  const idle = allocateTraceMemory(SHAPE, 16);
  const sampler = new TraceSampler(memory, 1);
  const stop = startTraceStoring({
    redis,
    model: MODEL,
    windows: () => [
      ['a-0', memory],
      ['a-1', idle],
    ],
    intervalMs: 5,
  });
  sampler.sample(0, Int32Array.of(3, 4), 2);
  await expect.poll(async () => [...((await readTrace(redis, MODEL))?.window(0) ?? [])]).toEqual([3, 4]);
  expect(await redis.hkeys(activationTraceKey(MODEL))).toEqual(['a-0']);
  await stop();
  sampler.sample(0, Int32Array.of(5), 1);
  await sleep(30);
  expect([...(await readTrace(redis, MODEL))!.window(0)]).toEqual([3, 4]);
});
