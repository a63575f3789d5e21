import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDispatcher, type Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { answer, type ScriptedPool, startScriptedPool } from '../../test/support/gateway/scripted-pool.ts';
import { useRedis } from '../../test/support/redis.ts';
import { SteadyLoad } from './steady-load.ts';

const SHAPE = { sequences: 3, promptTokens: 12, answerTokens: 5 };
const server = useRedis();
let redis: Redis;
let dispatcher: Dispatcher;
let pool: ScriptedPool;

beforeAll(async () => {
  redis = new Redis(server.url);
  dispatcher = createDispatcher(redis);
  pool = await startScriptedPool(server.url, 'm');
});
afterAll(async () => {
  await dispatcher.close();
  await pool.close();
  redis.disconnect();
});

const start = () => new SteadyLoad({ ...SHAPE, dispatcher, model: 'm', vocabularySize: 100, seed: 1 });

it('keeps so many sequences under way, with the same prompt per client and other draws', async () => {
  pool.play(({ choice }, emit) => emit(...answer(choice, ['a', 'b'], 12, 8)));
  const load = start();
  await load.settle(10_000);
  await load.stop();
  const jobs = [...pool.jobs];
  expect(jobs.length).toBeGreaterThanOrEqual(3);
  expect(new Set(jobs.map(({ prompt }) => JSON.stringify(prompt))).size).toBe(3);
  expect(new Set(jobs.map(({ sampling }) => sampling.seed)).size).toBe(jobs.length);
  // The first answers are of all lengths, later ones whole.
  const lengths = jobs.map(({ maxTokens }) => maxTokens).sort();
  expect([...new Set(lengths)]).toEqual([2, 4, 5]);
  expect(lengths.filter((tokens) => tokens !== 5)).toEqual([2, 4]);
  expect(jobs[0]).toMatchObject({ sampling: { ignoreEndOfSequence: true } });
  expect(load.computedPromptTokens % 4).toBe(0);
  expect(load.computedPromptTokens).toBeGreaterThanOrEqual(12);
});

it('tells the time per output token of each sequence, also of those that still run', async () => {
  const pauseMs = 10;
  pool.play(async ({ choice }, emit) => {
    const [started, ...others] = answer(
      choice,
      Array.from({ length: 40 }, () => 'a'),
    );
    await emit(started!);
    for (const event of others) {
      await sleep(pauseMs);
      await emit(event);
    }
  });
  const load = start();
  await load.settle(10_000);
  load.takeTpots();
  await sleep(25 * pauseMs);
  const tpots = load.takeTpots();
  expect(tpots).toHaveLength(3);
  for (const ms of tpots) expect(ms).toBeGreaterThan(0.9 * pauseMs);
  for (const ms of tpots) expect(ms).toBeLessThan(5 * pauseMs);
  // Too few tokens since.
  expect(load.takeTpots()).toEqual([]);
  await load.stop();
});

it('says when a sequence fails, and hangs up at the end', async () => {
  const error = {
    status: 503,
    type: 'server_error',
    code: 'unavailable',
    param: null,
    message: 'out of order',
  };
  pool.play(({ choice }, emit) => emit({ kind: 'failed', choice, error }));
  const failing = start();
  await expect(failing.settle(10_000)).rejects.toThrow(/profiling load failed: out of order/);
  await failing.stop();
});
