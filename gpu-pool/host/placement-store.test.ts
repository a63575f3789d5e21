import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { staticPlacement } from '../../shared/placement/placement.ts';
import { placementChannel } from '../../shared/protocol/keys.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { useRedis } from '../../test/support/redis.ts';
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
  await publishPlacement(redis, placed(17), inForce.version);
  const taken = await Promise.all([1, 2, 3].map(() => takeVersion(redis, MODEL)));
  expect(taken.sort()).toEqual([18, 19, 20]);
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
