import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../functions/clock.ts';
import { createPoolReader } from '../../functions/dispatcher/pool-reader.ts';
import { type RunningGateway, startGateway } from '../../functions/gateway/node.ts';
import { PROFILE, TARGET } from '../../functions/scaler/scaler.fixture.ts';
import { storeProfile, storeTarget } from '../../functions/scaler/scaler-store.ts';
import { startScaler } from '../../functions/scaler/start-scaler.ts';
import { readMembers } from '../../gpu-pool/host/membership.ts';
import { formatStatus } from '../../infra/cli/status/format-status.ts';
import { readStatus } from '../../infra/cli/status/read-status.ts';
import type { PoolSizes } from '../../shared/scaling/solver.ts';
import { readJson, readSse } from '../support/gateway/bed.ts';
import { usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

const IDLE_MS = 800;
const INTERVAL_MS = 100;
const SIZES = ['--first', '1A1E', '--most', '1A1E', '--interval-ms', String(INTERVAL_MS)];
/** Within which hosts come or go after it was decided, on cores that others use too. */
const CHANGE_LIMIT_MS = 20_000;
/** No process starts and loads a model in less. */
const LEAST_START_MS = 300;

const server = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
const failures: unknown[] = [];
let redis: Redis;
let gateway: RunningGateway;
let stopScaler: () => Promise<void>;

beforeAll(async () => {
  redis = new Redis(server.url);
  const log = { warn() {}, error() {} };
  gateway = await startGateway({ redisUrl: server.url, host: '127.0.0.1', port: 0, registryCacheMs: 0, log });
  await storeProfile(redis, DICTIONARY_MODEL, PROFILE);
  stopScaler = startScaler({
    redis,
    pools: createPoolReader(redis),
    clock: systemClock,
    intervalMs: INTERVAL_MS,
    report: (error) => failures.push(error),
  });
});
afterAll(async () => {
  await stopScaler();
  await gateway.close(0);
  redis.disconnect();
});

const setFloor = (floor: PoolSizes): Promise<void> =>
  storeTarget(redis, DICTIONARY_MODEL, {
    ...TARGET,
    tpotMs: 1_000,
    bounds: { ...TARGET.bounds, mostAttention: 1, mostExperts: 1 },
    limits: { ...TARGET.limits, idleMs: IDLE_MS, floor },
  });

const get = (path: string) => fetch(`http://127.0.0.1:${gateway.port}${path}`);
const define = (fields: object = {}, headers: Record<string, string> = {}) =>
  fetch(`http://127.0.0.1:${gateway.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify({
      model: DICTIONARY_MODEL,
      messages: [{ role: 'user', content: 'Define "harbor".' }],
      temperature: 0,
      ...fields,
    }),
  });
const hosts = async () => (await readMembers(redis, DICTIONARY_MODEL)).map(({ role }) => role).sort();
const state = async () => (await readJson(await get('/ready'))).models[0]?.state;
const status = async () => formatStatus(await readStatus(redis), Date.now());
const timing = (response: Response, name: string): number =>
  Number(new RegExp(`${name};dur=(\\d+)`).exec(response.headers.get('server-timing') ?? '')?.[1]);

it('an idle model keeps its floor, or nothing, and the first request wakes it, or says why it does not', async () => {
  await setFloor({ attention: 1, experts: 1 });
  const supervisor = janus(['supervise', ...SIZES, '--redis', server.url]);
  await expect.poll(state, { timeout: CHANGE_LIMIT_MS, interval: 50 }).toBe('ready');
  const known = (await readJson(await define())).choices[0].message.content;
  await sleep(IDLE_MS + 3 * INTERVAL_MS);
  expect(await hosts()).toEqual(['attention', 'experts']);

  await setFloor({ attention: 0, experts: 0 });
  await expect.poll(hosts, { timeout: CHANGE_LIMIT_MS, interval: 50 }).toEqual([]);
  const ready = await get('/ready');
  expect(ready.status).toBe(200);
  expect((await readJson(ready)).models).toMatchObject([{ id: DICTIONARY_MODEL, state: 'asleep' }]);
  expect((await readJson(await get('/v1/models'))).data).toMatchObject([{ id: DICTIONARY_MODEL }]);
  expect(await status()).toMatch(/asleep until somebody asks for it: No demand since \d+ s: down from 1A1E/);

  const [whole, streamed] = await Promise.all([define(), define({ stream: true })]);
  const text = (await readSse(streamed)).objects
    .map(({ choices }) => choices[0]?.delta.content ?? '')
    .join('');
  expect((await readJson(whole)).choices[0].message.content).toBe(known);
  expect(text).toBe(known);
  expect(timing(whole, 'first-token')).toBeGreaterThan(LEAST_START_MS);
  expect(timing(streamed, 'queue')).toBeGreaterThan(LEAST_START_MS);
  expect(await hosts()).toEqual(['attention', 'experts']);
  await expect.poll(hosts, { timeout: CHANGE_LIMIT_MS, interval: 50 }).toEqual([]);

  supervisor.kill('SIGTERM');
  expect(await supervisor.ended).toMatchObject({ status: 0, stderr: '' });
  const inVain = await define({ stream: true }, { 'x-request-timeout': '400ms' });
  expect(inVain.status).toBe(503);
  expect(inVain.headers.get('retry-after')).toBeTruthy();
  const { error } = await readJson(inVain);
  expect(error).toMatchObject({ type: 'server_error', code: 'model_not_ready' });
  expect(error.message).toMatch(
    /lacks an attention instance .* and an expert instance .*nothing has started it/,
  );
  expect(await status()).toMatch(/no host is alive; its scaler wants 1A1E, which `janus supervise`/);
  expect(failures).toEqual([]);
}, 60_000);
