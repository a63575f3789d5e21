import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { staticPlacement } from '../../shared/placement/placement.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { encodeTrace } from '../../shared/placement/trace-codec.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from '../../shared/placement/trace-generator.ts';
import {
  activationTraceKey,
  driftStateKey,
  placementKey,
  wantedPlacementKey,
} from '../../shared/protocol/keys.ts';
import { DRIFT_LIMITS, type DriftState } from '../../shared/replacement/drift.ts';
import { hostRecord } from '../../test/support/gateway/scripted-pool.ts';
import { useRedis } from '../../test/support/redis.ts';
import type { PoolStatus } from '../dispatcher/pool-reader.ts';
import { followTraffic, TRAFFIC_LOOK_MS, type TrafficOutcome } from './follow-traffic.ts';

const MODEL = 'words';
const START_MS = 1_800_000_000_000;
const HOSTS = ['a', 'b', 'c'];
const profile = { ...SKEWED_PROFILE, layers: 2, experts: 32, expertsPerToken: 4 };
const placement = staticPlacement({
  version: 3,
  model: MODEL,
  layers: 2,
  experts: 32,
  capacity: 14,
  instances: HOSTS.map((host, id) => ({ id, host })),
});
const server = useRedis();
let clients: readonly Redis[];

beforeAll(() => {
  clients = [new Redis(server.url), new Redis(server.url)];
});
beforeEach(async () => {
  await clients[0]!.flushall();
  await clients[0]!.set(placementKey(MODEL), JSON.stringify(placement));
});
afterAll(() => {
  for (const client of clients) client.disconnect();
});

const store = async (seed: number): Promise<void> => {
  const trace = generateTrace(new RoutingGenerator(profile, seededRandom(seed)), 20, 4);
  await clients[0]!.hset(activationTraceKey(MODEL), 'host-0', Buffer.from(encodeTrace(trace)));
};

function look(
  seconds: number,
  pool: Partial<PoolStatus> = {},
  client = clients[0]!,
): Promise<TrafficOutcome> {
  const hosts = HOSTS.map((host) => hostRecord(MODEL, host, 'ready'));
  const inForce = { version: placement.version, publishedAtMs: START_MS };
  return followTraffic(
    client,
    { model: MODEL, hosts, placement: inForce, queued: 0, ...pool },
    START_MS + 1_000 * seconds,
  );
}

test('plans once for traffic that its placement was not made for, and publishes that as wanted', async () => {
  await store(1);
  const outcome = await look(0);
  if (outcome.kind !== 'wanted') throw new Error(`The look was ${outcome.kind}.`);
  expect(outcome.reason).toMatch(/^the activation distribution has drifted by 0\.\d+$/);
  expect(outcome.moves).toBeLessThanOrEqual(DRIFT_LIMITS.mostMoves);
  const wanted = await clients[0]!.hgetall(wantedPlacementKey(MODEL));
  expect(wanted).toMatchObject({ from: '3', version: `${outcome.version}`, hosts: JSON.stringify(HOSTS) });
  expect(JSON.parse(wanted.placement!)).toMatchObject({ model: MODEL, version: outcome.version });
  // While it is on its way nobody looks.
  const onItsWay = { version: 3, publishedAtMs: START_MS, wantedAtMs: START_MS };
  expect(await look(60, { placement: onItsWay })).toEqual({ kind: 'skipped' });
});

test('keeps a placement that fits, and looks at the traffic no more often than it changes', async () => {
  await store(1);
  const state = async () => JSON.parse((await clients[0]!.get(driftStateKey(MODEL)))!) as DriftState;
  await look(0);
  const { wanted, ...planned } = await state();
  expect(wanted).toBeGreaterThan(3);
  const whole = { ...planned, isDrifting: false, wanted: null, plannedFor: null };
  await clients[0]!.set(driftStateKey(MODEL), JSON.stringify(whole));
  await clients[0]!.del(wantedPlacementKey(MODEL));
  const soon = TRAFFIC_LOOK_MS / 1_000;
  expect(await look(soon - 1)).toEqual({ kind: 'skipped' });
  expect(await look(soon)).toMatchObject({ kind: 'kept' });
  expect(await state()).toMatchObject({ lookedAtMs: START_MS + TRAFFIC_LOOK_MS, plannedAtMs: START_MS });
});

test('two at once publish one placement', async () => {
  await store(1);
  const outcomes = await Promise.all(clients.map((client) => look(0, {}, client)));
  expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['raced', 'wanted']);
});

test('leaves it to the hosts where one of them is gone, and has nothing to do without traffic or a placement', async () => {
  expect(await look(0)).toEqual({ kind: 'skipped' });
  await store(1);
  expect(await look(0, { hosts: [hostRecord(MODEL, 'a', 'ready')] })).toEqual({ kind: 'skipped' });
  expect(await look(0, { placement: null })).toEqual({ kind: 'skipped' });
  expect(await clients[0]!.exists(wantedPlacementKey(MODEL), driftStateKey(MODEL))).toBe(0);
});
