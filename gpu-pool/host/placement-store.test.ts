import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { staticPlacement } from '../../shared/placement/placement.ts';
import { placementChannel } from '../../shared/protocol/keys.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { useRedis } from '../../test/support/redis.ts';
import { reinstate } from './placement-repair.ts';
import {
  abandonPlacement,
  acknowledgePlacement,
  flipPlacement,
  publishPlacement,
  readPlacement,
  readWanted,
  takeVersion,
  wantPlacement,
} from './placement-store.ts';

const MODEL = 'model';
const server = useRedis();
let redis: Redis;
let inForce: Placement;

function placed(version: number): Placement {
  const instances = ['a', 'b'].map((host, id) => ({ id, host }));
  return staticPlacement({ version, model: MODEL, layers: 2, experts: 4, capacity: 3, instances });
}

beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(async () => {
  await redis.flushall();
  inForce = await publishPlacement(redis, placed(await takeVersion(redis, MODEL)), 0);
});
afterAll(() => redis.disconnect());

const want = async (): Promise<Placement> => {
  const placement = placed(await takeVersion(redis, MODEL));
  expect(await wantPlacement(redis, placement, inForce.version)).toBe(true);
  return placement;
};

test('a wanted placement comes in force once, when all of its hosts have acknowledged it', async () => {
  const wanted = await want();
  expect(await readWanted(redis, MODEL)).toMatchObject({
    placement: wanted,
    from: inForce.version,
    hosts: ['a', 'b'],
  });
  expect(await acknowledgePlacement(redis, MODEL, 'a', wanted.version)).toBe(true);
  expect(await acknowledgePlacement(redis, MODEL, 'a', wanted.version)).toBe(true);
  expect(await flipPlacement(redis, MODEL, wanted.version)).toBe(false);
  expect(await readPlacement(redis, MODEL)).toEqual(inForce);
  await acknowledgePlacement(redis, MODEL, 'b', wanted.version);
  const flips = await Promise.all([1, 2, 3].map(() => flipPlacement(redis, MODEL, wanted.version)));
  expect(flips).toEqual([true, true, true]);
  expect(await readPlacement(redis, MODEL)).toEqual(wanted);
  expect(await readWanted(redis, MODEL)).toBeNull();
  expect(await acknowledgePlacement(redis, MODEL, 'b', wanted.version)).toBe(false);
});

test('only one is under way, made from the one in force', async () => {
  const wanted = await want();
  const other = placed(await takeVersion(redis, MODEL));
  expect(await wantPlacement(redis, other, inForce.version)).toBe(false);
  expect(await abandonPlacement(redis, MODEL, other.version)).toBe(false);
  expect(await abandonPlacement(redis, MODEL, wanted.version)).toBe(true);
  expect(await wantPlacement(redis, other, inForce.version - 1)).toBe(false);
  expect(await wantPlacement(redis, other, inForce.version)).toBe(true);
});

test('what is put in force at once gives up what was wanted, and whoever comes second changes nothing', async () => {
  const wanted = await want();
  for (const host of ['a', 'b']) await acknowledgePlacement(redis, MODEL, host, wanted.version);
  const reduced = placed(await takeVersion(redis, MODEL));
  expect(await publishPlacement(redis, reduced, inForce.version)).toEqual(reduced);
  expect(await flipPlacement(redis, MODEL, wanted.version)).toBe(false);
  const late = placed(await takeVersion(redis, MODEL));
  expect(await publishPlacement(redis, late, inForce.version)).toEqual(reduced);
  expect(await readWanted(redis, MODEL)).toBeNull();
});

test('versions are given once, over that in force, also where nobody counted', async () => {
  const ahead = inForce.version + 1_000_000;
  await publishPlacement(redis, placed(ahead), inForce.version);
  const taken = await Promise.all([1, 2, 3].map(() => takeVersion(redis, MODEL)));
  expect(taken.sort()).toEqual([ahead + 1, ahead + 2, ahead + 3]);
});

test('a Redis that has forgotten its versions gives none of them again', async () => {
  const given = await Promise.all([1, 2, 3].map(() => takeVersion(redis, MODEL)));
  await redis.flushall();
  // A server that forgets has to start again first, which takes longer.
  await sleep(10);
  expect(await takeVersion(redis, MODEL)).toBeGreaterThan(Math.max(...given));
});

test('a placement that Redis has forgotten comes in force again, under a version over all', async () => {
  const forgotten = placed(inForce.version + 1_000_000);
  const next = await reinstate(redis, forgotten, inForce);
  expect(next).toEqual({ ...forgotten, version: forgotten.version + 1 });
  expect(await readPlacement(redis, MODEL)).toEqual(next);
  // Whoever comes second ends with the same.
  expect(await reinstate(redis, forgotten, inForce)).toEqual(next);
  await redis.flushall();
  const again = await reinstate(redis, forgotten, null);
  expect(again.version).toBeGreaterThan(forgotten.version);
  expect(await readPlacement(redis, MODEL)).toEqual(again);
});

test('every change is told on the channel', async () => {
  const listener = redis.duplicate();
  const told: string[] = [];
  listener.on('message', (_, version) => told.push(version));
  await listener.subscribe(placementChannel(MODEL));
  const wanted = await want();
  for (const host of ['a', 'b']) await acknowledgePlacement(redis, MODEL, host, wanted.version);
  await flipPlacement(redis, MODEL, wanted.version);
  await expect.poll(() => told).toEqual([`${wanted.version}`, `${wanted.version}`]);
  listener.disconnect();
});
