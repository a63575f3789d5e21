import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { ActivationTrace } from '../../shared/placement/trace.ts';
import { encodeTrace } from '../../shared/placement/trace-codec.ts';
import { activationTraceKey, trafficTableKey } from '../../shared/protocol/keys.ts';
import type { PerformanceProfile, TrafficTable } from '../../shared/protocol/scaling.ts';
import { lookUpAMax } from '../../shared/scaling/a-max-table.ts';
import { useRedis } from '../../test/support/redis.ts';
import { runScaler } from './run-scaler.ts';
import { PROFILE, poolOf, TARGET } from './scaler.fixture.ts';
import { storeProfile, storeTarget } from './scaler-store.ts';
import { followRouting, TABLE_AGE_MS, tableOf } from './traffic-table.ts';

const MODEL = 'words';
const START_MS = 1_800_000_000_000;
const POOL = poolOf(MODEL, { tokens: 0, running: 0, queued: 0 });
const server = useRedis();
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(async () => {
  await redis.flushall();
});
afterAll(() => {
  redis.disconnect();
});

/** What one attention host saw of a model with 32 experts; all of it goes to `favourites` of them. */
async function storeTraffic(favourites: number, rows = 600): Promise<void> {
  const random = seededRandom(3);
  const trace = new ActivationTrace({ layers: 2, experts: 32, expertsPerToken: 4 }, rows);
  const draw = (): number[] => {
    const first = Math.floor(random() * favourites);
    return Array.from({ length: 4 }, (_, nth) => (first + nth) % favourites);
  };
  for (let layer = 0; layer < 2; layer += 1)
    trace.record(layer, Array.from({ length: rows }, draw).flat(), rows);
  await redis.hset(activationTraceKey(MODEL), 'host-0', Buffer.from(encodeTrace(trace)));
}

const prepare = async (): Promise<void> => {
  await storeTarget(redis, MODEL, TARGET);
  await storeProfile(redis, MODEL, PROFILE);
};
const follow = (seconds = 0): Promise<boolean> => followRouting(redis, POOL, START_MS + 1_000 * seconds);
const stored = async (): Promise<TrafficTable | null> =>
  JSON.parse((await redis.get(trafficTableKey(MODEL))) ?? 'null');

describe('followRouting', () => {
  test('makes a table of what is routed, and another when that has changed and the first is old', async () => {
    await prepare();
    await storeTraffic(32);
    expect(await follow()).toBe(true);
    const spread = (await stored())!;
    expect(spread).toMatchObject({ madeAtMs: START_MS, capacity: PROFILE.capacity });
    expect(spread.table.instances).toEqual([2, 3, 4]);
    expect(spread.table.batches.at(-1)).toBe(256);
    await storeTraffic(8);
    expect(await follow(TABLE_AGE_MS / 1_000 - 1)).toBe(false);
    expect(await follow(TABLE_AGE_MS / 1_000)).toBe(true);
    // Of eight experts, two instances have four each.
    expect(lookUpAMax((await stored())!.table, 2, 256)).toBe(4);
    expect(lookUpAMax(spread.table, 2, 256)).toBeGreaterThan(8);
  });

  test('makes none without a scaler, or traffic of the model that is enough', async () => {
    await storeTraffic(32);
    expect(await follow()).toBe(false);
    await prepare();
    await redis.del(activationTraceKey(MODEL));
    expect(await follow()).toBe(false);
    await storeTraffic(32, 500);
    expect(await follow()).toBe(false);
    await storeTraffic(32);
    await storeProfile(redis, MODEL, { ...PROFILE, table: { ...PROFILE.table, experts: 64 } });
    expect(await follow()).toBe(false);
    const bounds = { ...TARGET.bounds, mostExperts: 1 };
    await prepare();
    await storeTarget(redis, MODEL, { ...TARGET, bounds });
    expect(await follow()).toBe(false);
    await storeTarget(redis, MODEL, TARGET);
    expect(await follow()).toBe(true);
  });
});

test('a table of the traffic counts where it is newer than the profile, of the same slots, and tells of all sizes', () => {
  const table = { ...PROFILE.table, experts: 32 };
  const traffic: TrafficTable = { madeAtMs: START_MS, capacity: PROFILE.capacity, table };
  const of = (profile: Partial<PerformanceProfile>, given: TrafficTable | null, mostExperts = 4) => {
    const bounds = { ...TARGET.bounds, mostExperts };
    return tableOf({ ...PROFILE, ...profile }, given, { ...TARGET, bounds });
  };
  expect(of({}, traffic)).toBe(table);
  expect(of({}, null)).toBe(PROFILE.table);
  expect(of({ measuredAtMs: START_MS + 1 }, traffic)).toBe(PROFILE.table);
  expect(of({ capacity: 20 }, traffic)).toBe(PROFILE.table);
  expect(of({}, traffic, 5)).toBe(PROFILE.table);
  // More instances than experts hold nothing more.
  const few = { ...traffic, table: { ...table, experts: 4 } };
  expect(of({}, few, 5)).toBe(few.table);
});

test('a scaler plans with what is routed now', async () => {
  await prepare();
  const wantedWith = async (): Promise<number> => {
    await redis.del(`janus:{${MODEL}}:scaler`, `janus:{${MODEL}}:wanted-sizes`);
    let experts = 0;
    for (const [second, tokens] of [0, 1_500].entries()) {
      const pool = poolOf(MODEL, { tokens, running: 16, queued: 0 });
      const outcome = await runScaler(redis, pool, START_MS + 1_000 * second);
      if (outcome.kind === 'decided') experts = outcome.decision.wanted.experts;
    }
    return experts;
  };
  const byProfile = await wantedWith();
  const zeros = PROFILE.table.values.map((row) => row.map(() => 1));
  const table = { ...PROFILE.table, values: zeros };
  const traffic: TrafficTable = { madeAtMs: START_MS, capacity: PROFILE.capacity, table };
  await redis.set(trafficTableKey(MODEL), JSON.stringify(traffic));
  expect(await wantedWith()).toBeLessThan(byProfile);
});
