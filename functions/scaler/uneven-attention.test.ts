import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { useRedis } from '../../test/support/redis.ts';
import type { PoolStatus } from '../dispatcher/pool-reader.ts';
import { runScaler } from './run-scaler.ts';
import { PROFILE, poolOf, TARGET } from './scaler.fixture.ts';
import { storeProfile, storeTarget } from './scaler-store.ts';

const MODEL = 'words';
const START_MS = 1_800_000_000_000;
const TOKENS_PER_SECOND = 250;
const server = useRedis();
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(async () => {
  await redis.flushall();
  await storeTarget(redis, MODEL, TARGET);
  await storeProfile(redis, MODEL, PROFILE);
});
afterAll(() => redis.disconnect());

/** Two attention instances that made as many tokens; a step of the second takes `slower` times that of the first. */
function poolAfter(seconds: number, slower: number): PoolStatus {
  const load = { tokens: TOKENS_PER_SECOND * seconds, running: 4, queued: 0, stepMs: 20 };
  const pool = poolOf(MODEL, load);
  const [host] = pool.hosts;
  const steps = 50 * seconds;
  const attention = [1, slower].map((stepMs, index) => ({
    ...host!.attention[0]!,
    id: `host-a${index}`,
    steps,
    phasesMs: { pre: stepMs * steps },
  }));
  return { ...pool, hosts: [{ ...host!, attention }] };
}

async function decisionFor(slower: number) {
  await runScaler(redis, poolAfter(0, slower), START_MS);
  const outcome = await runScaler(redis, poolAfter(2, slower), START_MS + 2_000);
  if (outcome.kind !== 'decided') throw new Error(`The round was ${outcome.kind}.`);
  return outcome.decision;
}

test('where attention instances differ, a step waits for the slowest, and the same demand needs more of them', async () => {
  const even = await decisionFor(1);
  await redis.flushall();
  await storeTarget(redis, MODEL, TARGET);
  await storeProfile(redis, MODEL, PROFILE);
  const uneven = await decisionFor(3);
  expect(uneven.wanted.attention).toBeGreaterThan(even.wanted.attention);
});
