import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { staticPlacement } from '../../shared/placement/placement.ts';
import type { HostRecord } from '../../shared/protocol/member.ts';
import { isEmptied } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { useRedis } from '../../test/support/redis.ts';
import { DICTIONARY_MODEL, hostOptions } from '../../test/support/test-host.ts';
import { Host } from './host.ts';
import { Membership } from './membership.ts';
import { PlacementFollower } from './placement-follower.ts';
import { publishPlacement, readPlacement, takeVersion } from './placement-store.ts';

const EXPERTS = 32;
const LAYERS = 6;
const EXPERT_HOSTS = ['e0', 'e1'];

const server = useRedis();
let redis: Redis;
let host: Host;
let members: readonly Membership[];
const lines: string[] = [];

/** An expert host with one instance that has no room beyond its slots. */
const expertHost = (name: string, id: number, slots: number): HostRecord => ({
  ...host.record(),
  host: name,
  role: 'experts',
  experts: [
    { id, state: 'ready', slots, layerSteps: 0, meanActivated: 0, maxActivated: 0, groups: 0, groupsMs: 0 },
  ],
  placement: { version: 1, prepared: null, spareSlots: 0 },
});

beforeAll(async () => {
  redis = new Redis(server.url);
  const options = hostOptions(server.url, { role: 'attention', poolExpertInstances: 2 });
  host = await Host.open(options, { log: (line) => lines.push(line) });
  members = [];
});
beforeEach(async () => {
  await Promise.all(members.map((member) => member.leave()));
  lines.length = 0;
});
afterAll(async () => {
  await Promise.all(members.map((member) => member.leave()));
  await host.close();
  redis.disconnect();
});

/** Two expert hosts live, under a placement of so many slots, which a follower follows. */
async function follow(capacity: number) {
  members = await Promise.all(
    EXPERT_HOSTS.map((name, id) =>
      Membership.join(redis, DICTIONARY_MODEL, name, () => expertHost(name, id, capacity)),
    ),
  );
  const held = await readPlacement(redis, DICTIONARY_MODEL);
  const placement = staticPlacement({
    version: await takeVersion(redis, DICTIONARY_MODEL),
    model: DICTIONARY_MODEL,
    layers: LAYERS,
    experts: EXPERTS,
    instances: EXPERT_HOSTS.map((name, id) => ({ id, host: name })),
    capacity,
  });
  await publishPlacement(redis, placement, held?.version ?? 0);
  const placed: Placement[] = [];
  const follower = new PlacementFollower(host, placement, (next) => placed.push(next));
  const report = () =>
    follower.report({
      version: placement.version,
      loss: { host: 'e0', instance: null },
      message: 'overdue',
    });
  return { follower, placement, placed, report };
}

const inForce = async (): Promise<Placement> => (await readPlacement(redis, DICTIONARY_MODEL))!;

test('a host whose answer was overdue is done without where others hold its experts', async () => {
  const { follower, placement, placed, report } = await follow(EXPERTS);
  report();
  expect(await follower.look()).toBe(true);
  const next = await inForce();
  expect(placed).toEqual([next]);
  expect([isEmptied(next, 0), isEmptied(next, 1)]).toEqual([true, false]);
  // The report was of the placement that went: under another one the host is as good as any.
  const version = await takeVersion(redis, DICTIONARY_MODEL);
  const back = await publishPlacement(redis, { ...placement, version }, next.version);
  expect(await follower.look()).toBe(true);
  expect(placed.at(-1)).toEqual(back);
});

test('one that nobody can take the place of is tried again, and its report is forgotten', async () => {
  const { follower, placement, placed, report } = await follow(EXPERTS / 2);
  report();
  expect(await follower.look()).toBe(true);
  expect(await follower.look()).toBe(true);
  expect(await inForce()).toEqual(placement);
  expect(placed).toEqual([]);
  expect(lines.filter((line) => line.includes('cannot be served'))).toEqual([]);
});

test('one that has died as well is waited for', async () => {
  const { follower, report } = await follow(EXPERTS / 2);
  await members[0]!.leave();
  report();
  expect(await follower.look()).toBe(true);
  expect(lines.join('\n')).toContain('expert host e0 is gone');
});
