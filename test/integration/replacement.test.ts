import { readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFailed, onTestFinished } from 'vitest';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { readPlacement, takeVersion, wantPlacement } from '../../gpu-pool/host/placement-store.ts';
import { servingHosts } from '../../shared/replacement/transition.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { TestClient } from '../support/generate.ts';
import { useRedis } from '../support/redis.ts';
import { shuffledPlacement } from '../support/shuffled-placement.ts';
import { StreamLoad } from '../support/stream-load.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL, type HostProcess, spawnHost } from '../support/test-host.ts';

const STREAMS = 6;
/** Two replicas of each of the 32 experts on three hosts, and a little more. */
const SLOTS = '22';
const RE_PLACEMENTS = 4;
const RE_PLACEMENT_MS = 1_000;
/** What a client may wait when an expert host dies is 500 ms; on two cores a host that starts or dies takes them all for a while. */
const STALL_LIMIT_MS = 1_500;
/** A job is taken over 3 s after its host has died at the latest; then its tokens are computed again. */
const TAKEOVER_LIMIT_MS = 4_000;
const FLIP_LIMIT_MS = 8_000;

const redis = useRedis();
const processes: HostProcess[] = [];
let client: TestClient;

function startExpertHost(): HostProcess {
  const own = ['--role', 'experts', '--experts', '1', '--slots', SLOTS];
  const host = spawnHost([...own, '--redis', redis.url, '--model', DICTIONARY_FOLDER]);
  processes.push(host);
  return host;
}

function startAttentionHost(): HostProcess {
  const own = ['--role', 'attention', '--attention', '2', '--token-budget', '64', '--exchange', 'auto'];
  const pool = ['--expert-instances', '3', '--redis', redis.url, '--model', DICTIONARY_FOLDER];
  const host = spawnHost([...own, ...pool]);
  processes.push(host);
  return host;
}

beforeAll(async () => {
  for (let host = 0; host < 3; host++) startExpertHost();
  startAttentionHost();
  client = new TestClient(redis.url);
  await new StreamLoad(client, 1).end();
});
afterAll(async () => {
  await client.close();
  await Promise.all(processes.map((host) => host.stop()));
});

const inForce = async (): Promise<Placement> => (await readPlacement(client.redis, DICTIONARY_MODEL))!;

/** What a host leaves that could not close. */
function removeSocketOf(host: HostProcess): void {
  const [, id] = /ready: host (\S+)/.exec(host.output())!;
  const left = readdirSync(tmpdir()).filter((name) => name.startsWith(`janus-${id}-`));
  for (const name of left) rmSync(join(tmpdir(), name));
}

function tellOutputOnFailure(): void {
  onTestFailed(() => console.error(processes.map((host) => host.output()).join('\n—\n')));
}

it('placements change every second under streams, of which none notices', async () => {
  tellOutputOnFailure();
  const load = new StreamLoad(client, STREAMS);
  for (let seed = 1; seed <= RE_PLACEMENTS; seed++) {
    const held = await inForce();
    const next = shuffledPlacement(held, await takeVersion(client.redis, DICTIONARY_MODEL), seed);
    expect(await wantPlacement(client.redis, next, held.version)).toBe(true);
    const wantedAtMs = performance.now();
    await expect
      .poll(async () => (await inForce()).version, { timeout: FLIP_LIMIT_MS, interval: 20 })
      .toBe(next.version);
    await sleep(Math.max(0, RE_PLACEMENT_MS - (performance.now() - wantedAtMs)));
  }
  const result = await load.end();
  expect(result.wrong).toEqual([]);
  expect(result.answers).toBeGreaterThan(STREAMS);
  // The attention host moved with each, and expert hosts kept nothing of the old ones.
  const version = (await inForce()).version;
  const using = async () => {
    const members = await readMembers(client.redis, DICTIONARY_MODEL);
    return members.map((member) => member.placement?.version);
  };
  await expect.poll(using, { timeout: FLIP_LIMIT_MS }).toEqual([version, version, version, version]);
});

it('an expert host dies under streams, which go on with the same tokens after a short pause', async () => {
  tellOutputOnFailure();
  const load = new StreamLoad(client, STREAMS);
  await expect.poll(() => load.tokens, { timeout: FLIP_LIMIT_MS }).toBeGreaterThan(10 * STREAMS);
  const before = await inForce();
  load.forgetGaps();
  process.kill(processes[0]!.pid, 'SIGKILL');
  onTestFinished(() => removeSocketOf(processes[0]!));
  await expect
    .poll(async () => servingHosts(await inForce()).length, { timeout: FLIP_LIMIT_MS, interval: 20 })
    .toBe(servingHosts(before).length - 1);
  await sleep(500);
  const result = await load.end();
  expect(result.wrong).toEqual([]);
  expect(result.longestGapMs).toBeLessThan(STALL_LIMIT_MS);
  // Instances keep their numbers.
  expect((await inForce()).instances).toEqual(before.instances);
});

it('a host that joins is given the place of the dead one, and one that leaves is not missed, under streams', async () => {
  tellOutputOnFailure();
  startExpertHost();
  const load = new StreamLoad(client, 2);
  await expect
    .poll(async () => servingHosts(await inForce()).length, { timeout: 30_000, interval: 100 })
    .toBe(3);
  const { instances, capacity, layers } = await inForce();
  expect(instances).toHaveLength(3);
  expect(layers.every(({ slots }) => slots.every((held) => held.length === capacity))).toBe(true);
  load.forgetGaps();
  await processes[1]!.stop();
  expect(servingHosts(await inForce())).toHaveLength(2);
  expect(processes[1]!.output()).not.toMatch(/interrupted/);
  const result = await load.end();
  expect(result.wrong).toEqual([]);
  expect(result.longestGapMs).toBeLessThan(STALL_LIMIT_MS);
});

it('an attention host dies under streams, which another goes on with', async () => {
  tellOutputOnFailure();
  const other = startAttentionHost();
  await expect.poll(() => other.output(), { timeout: 30_000 }).toMatch(/^ready: /m);
  const load = new StreamLoad(client, STREAMS);
  await expect.poll(() => load.tokens, { timeout: FLIP_LIMIT_MS }).toBeGreaterThan(10 * STREAMS);
  load.forgetGaps();
  process.kill(processes[3]!.pid, 'SIGKILL');
  const result = await load.end();
  expect(result.wrong).toEqual([]);
  expect(result.longestGapMs).toBeLessThan(TAKEOVER_LIMIT_MS);
});
