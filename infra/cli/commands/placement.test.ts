import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  acknowledgePlacement,
  publishPlacement,
  readPlacement,
  readWanted,
} from '../../../gpu-pool/host/placement-store.ts';
import { storeTrace } from '../../../gpu-pool/host/trace-store.ts';
import { packQuietly } from '../../../gpu-pool/packed/pack/pack-quietly.fixture.ts';
import { openPacked } from '../../../gpu-pool/packed/packed-model.ts';
import { hostKey, membersKey } from '../../../shared/protocol/keys.ts';
import type { HostRecord } from '../../../shared/protocol/member.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { usePrograms } from '../../../test/support/program.ts';
import { useRedis } from '../../../test/support/redis.ts';
import { DICTIONARY_FOLDER } from '../../../test/support/test-host.ts';
import { inForce, skewedTrace } from '../placement/placement.fixture.ts';
import { planPlacement } from '../placement/plan-placement.ts';
import { putInForce } from '../placement/put-in-force.ts';

const MODEL = 'dictionary-moe';
const server = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
let redis: Redis;

beforeAll(() => {
  redis = new Redis(server.url);
});
beforeEach(async () => {
  await redis.flushall();
  for (const host of ['host-0', 'host-1']) {
    const record: Partial<HostRecord> = {
      host,
      role: 'experts',
      weightForm: 'int4',
      attention: [],
      experts: [],
    };
    await redis.sadd(membersKey(MODEL), host);
    await redis.set(hostKey(MODEL, host), JSON.stringify(record));
  }
  await publishPlacement(redis, inForce, 0);
});
afterAll(() => redis.disconnect());

/** Stands in for the hosts: acknowledges what is wanted as soon as something is. */
async function loadWanted(): Promise<Placement> {
  await expect.poll(() => readWanted(redis, MODEL), { timeout: 10_000 }).not.toBeNull();
  const { placement, hosts } = (await readWanted(redis, MODEL))!;
  for (const host of hosts) await acknowledgePlacement(redis, MODEL, host, placement.version);
  return placement;
}

const run = (...args: string[]) => janus(['placement', ...args], { REDIS_URL: server.url }).ended;

describe('janus placement', () => {
  it('shows the placement in force with and without a trace', async () => {
    const before = JSON.parse((await run('show', '--json')).stdout);
    expect(before).toMatchObject({
      version: 3,
      aMax: [],
      instances: [{ id: 0, meanActivated: null }, {}, {}, {}],
    });
    await storeTrace(redis, MODEL, 'a-0', skewedTrace());
    const after = await run('show');
    expect(after.stdout).toMatch(/expected a_max, from 768 tokens/);
  });

  it('plans without a change to Redis, within the bound on bytes', async () => {
    await storeTrace(redis, MODEL, 'a-0', skewedTrace());
    const planned = await run('plan', '--json', '--max-move-bytes', '1M');
    expect(planned).toMatchObject({ status: 0, stderr: '' });
    const { moves, movedBytes, placement } = JSON.parse(planned.stdout);
    expect(placement.version).toBe(4);
    expect(moves.length).toBeGreaterThan(0);
    expect(movedBytes).toBeLessThanOrEqual(2 ** 20);
    expect(await readPlacement(redis, MODEL)).toEqual(inForce);
  });

  it('takes the bytes of an expert from the manifest of a packed model', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'janus-placement-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const target = join(folder, 'packed');
    await packQuietly(DICTIONARY_FOLDER, target, 'int8', { uniform: true });
    await storeTrace(redis, MODEL, 'a-0', skewedTrace());
    const planned = await run('plan', '--json', '--model', target, '--name', MODEL);
    const { moves, movedBytes } = JSON.parse(planned.stdout);
    const packed = openPacked(target);
    expect(movedBytes / moves.length).toBe(packed.expertBytes(0));
    packed.close();
  });

  it('applies what it plans: the same seed gives the same placement', async () => {
    await storeTrace(redis, MODEL, 'a-0', skewedTrace());
    const { placement } = JSON.parse((await run('plan', '--json', '--seed', '5')).stdout);
    const applied = run('apply', '--seed', '5');
    const wanted = await loadWanted();
    expect((await applied).stdout).toContain(`version ${wanted.version} is in force`);
    expect(wanted).toEqual({ ...placement, version: wanted.version });
    expect(await readPlacement(redis, MODEL)).toEqual(wanted);
  });

  it('leaves the version as it is where the bound lets nothing move', async () => {
    await storeTrace(redis, MODEL, 'a-0', skewedTrace());
    const applied = await run('apply', '--max-move-bytes', '0', '--json');
    expect(JSON.parse(applied.stdout)).toMatchObject({ applied: false, moves: [] });
    expect(await readPlacement(redis, MODEL)).toEqual(inForce);
  });

  it('tells whoever comes second that another placement is in force', async () => {
    const options = { expertBytes: 1, capacity: undefined, maxMoveBytes: undefined };
    const [first, second] = [1, 2].map((seed) => planPlacement(inForce, skewedTrace(), { ...options, seed }));
    const applied = putInForce(redis, first!);
    const wanted = await loadWanted();
    expect(await applied).toEqual(wanted);
    await expect(putInForce(redis, second!)).rejects.toThrow(/placement version \d+ .* since .* version 3/);
    expect(await readPlacement(redis, MODEL)).toEqual(wanted);
  });

  it('gives up what hosts do not load in time, and leaves the placement in force', async () => {
    const options = { expertBytes: 1, capacity: undefined, maxMoveBytes: undefined, seed: 1 };
    const planned = planPlacement(inForce, skewedTrace(), options);
    const underWay = putInForce(redis, planned, 300);
    await expect.poll(() => readWanted(redis, MODEL)).not.toBeNull();
    await expect(putInForce(redis, planned)).rejects.toThrow(/is on its way already/);
    await expect(underWay).rejects.toThrow(/not loaded by all of its hosts within 0.3 s/);
    expect(await readPlacement(redis, MODEL)).toEqual(inForce);
    expect(await readWanted(redis, MODEL)).toBeNull();
  });

  it.each([
    ['there is no trace', async () => {}, /no activation trace of dictionary-moe/],
    [
      'a host is gone',
      () => redis.del(hostKey(MODEL, 'host-1')),
      /Host host-1 of placement version 3 is gone/,
    ],
    ['there is no placement', () => redis.flushall(), /No placement of dictionary-moe/],
  ])('says what to do when %s', async (_, prepare, message) => {
    await prepare();
    const { status, stderr } = await run('plan');
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
  });
});
