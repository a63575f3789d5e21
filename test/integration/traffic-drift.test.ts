import { afterAll, beforeAll, expect, it } from 'vitest';
import { createPoolReader } from '../../functions/dispatcher/pool-reader.ts';
import { type ScalerOptions, startScaler } from '../../functions/scaler/start-scaler.ts';
import { readPlacement } from '../../gpu-pool/host/placement-store.ts';
import { storeTrace } from '../../gpu-pool/host/trace-store.ts';
import { replicaMoves } from '../../shared/placement/placement-moves.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { generateTrace, RoutingGenerator, SKEWED_PROFILE } from '../../shared/placement/trace-generator.ts';
import { DRIFT_LIMITS } from '../../shared/replacement/drift.ts';
import { scrape } from '../support/gateway/scrape.ts';
import { TestClient } from '../support/generate.ts';
import { useServedModel } from '../support/served-model.ts';
import { StreamLoad } from '../support/stream-load.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

const STREAMS = 2;
const ROUND_MS = 50;
const FLIP_LIMIT_MS = 10_000;

const served = useServedModel();
let client: TestClient;
beforeAll(() => {
  client = new TestClient(served.host.options.redisUrl);
});
afterAll(() => client.close());

const inForce = async () => (await readPlacement(client.redis, DICTIONARY_MODEL))!;

it('a drift of the activation distribution moves a bounded number of replicas under streams, once', async () => {
  const { layers, experts, expertsPerToken } = served.host.config;
  const profile = { ...SKEWED_PROFILE, layers, experts, expertsPerToken };
  const trace = generateTrace(new RoutingGenerator(profile, seededRandom(2)), 20, 4);
  await storeTrace(client.redis, DICTIONARY_MODEL, 'elsewhere', trace);
  const before = await inForce();
  const told: Parameters<NonNullable<ScalerOptions['onTraffic']>>[1][] = [];
  const stop = startScaler({
    redis: client.redis,
    pools: createPoolReader(client.redis),
    clock: { nowMs: Date.now },
    intervalMs: ROUND_MS,
    followsTraffic: true,
    onTraffic: (_, outcome) => told.push(outcome),
    report: (error) => expect.unreachable(String(error)),
  });
  const load = new StreamLoad(client, STREAMS);
  await expect
    .poll(async () => (await inForce()).version, { timeout: FLIP_LIMIT_MS, interval: ROUND_MS })
    .toBeGreaterThan(before.version);
  const result = await load.end();
  await stop();
  expect(result.wrong).toEqual([]);
  const moves = replicaMoves(before, await inForce());
  expect(moves.length).toBeGreaterThan(0);
  expect(moves.length).toBeLessThanOrEqual(DRIFT_LIMITS.mostMoves);
  expect(told.filter(({ kind }) => kind === 'wanted')).toMatchObject([{ moves: moves.length }]);
  const metrics = await scrape(served.address);
  const value = (name: string) => metrics.get(`janus:${name}{model_name="${DICTIONARY_MODEL}"}`);
  expect(value('placement_version')).toBe((await inForce()).version);
  expect(value('re_placement_stalled')).toBe(0);
  expect(value('seconds_since_placement')).toBeLessThan(FLIP_LIMIT_MS / 1_000);
});
