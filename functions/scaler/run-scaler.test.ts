import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { performanceProfileKey, scalerRecordKey, wantedSizesKey } from '../../shared/protocol/keys.ts';
import type { ScalerRecord, WantedSizes } from '../../shared/protocol/scaling.ts';
import { useRedis } from '../../test/support/redis.ts';
import { type RoundOutcome, runScaler } from './run-scaler.ts';
import { PROFILE, poolOf, type SeenLoad, TARGET } from './scaler.fixture.ts';
import { MOST_DECISIONS, readDecisions, storeProfile, storeTarget } from './scaler-store.ts';

const MODEL = 'words';
const START_MS = 1_800_000_000_000;
const QUIET: SeenLoad = { tokens: 0, running: 0, queued: 0 };
const server = useRedis();
let clients: readonly Redis[];

beforeAll(() => {
  clients = [new Redis(server.url), new Redis(server.url)];
});
beforeEach(async () => {
  await clients[0]!.flushall();
});
afterAll(() => {
  for (const client of clients) client.disconnect();
});

const round = (seconds: number, load: SeenLoad, client = clients[0]!): Promise<RoundOutcome> =>
  runScaler(client, poolOf(MODEL, load), START_MS + 1_000 * seconds);

const read = async <Value>(key: string): Promise<Value> =>
  JSON.parse((await clients[0]!.get(key)) as string) as Value;
const wanted = () => read<WantedSizes>(wantedSizesKey(MODEL));
const record = () => read<ScalerRecord>(scalerRecordKey(MODEL));

async function decided(seconds: number, load: SeenLoad) {
  const outcome = await round(seconds, load);
  if (outcome.kind !== 'decided') throw new Error(`The round was ${outcome.kind}.`);
  return outcome.decision;
}

const prepare = async (): Promise<void> => {
  await storeTarget(clients[0]!, MODEL, TARGET);
  await storeProfile(clients[0]!, MODEL, PROFILE);
};

describe('runScaler', () => {
  test('does nothing without a target or a profile, and says which is missing', async () => {
    expect(await round(0, QUIET)).toEqual({ kind: 'unset', missing: 'target' });
    await storeTarget(clients[0]!, MODEL, TARGET);
    expect(await round(1, QUIET)).toEqual({ kind: 'unset', missing: 'profile' });
    expect(await clients[0]!.exists(wantedSizesKey(MODEL), scalerRecordKey(MODEL))).toBe(0);
    await storeProfile(clients[0]!, MODEL, PROFILE);
    expect(await round(2, QUIET)).toMatchObject({ kind: 'decided' });
  });

  test('takes a pool as it is, and scales it up with the first round that sees a burst', async () => {
    await prepare();
    expect(await decided(0, QUIET)).toMatchObject({ action: 'stay', wanted: { attention: 1, experts: 1 } });
    expect(await wanted()).toMatchObject({ version: 1, attention: 1, experts: 1 });
    // 400 tokens in two seconds, and what waits in the queue besides.
    const burst = await decided(2, { tokens: 400, running: 32, queued: 40, stepMs: 100 });
    expect(burst.action).toBe('up');
    expect(burst.wanted.attention + burst.wanted.experts).toBeGreaterThan(2);
    expect(burst.reason).toContain('up from 1A1E');
    expect(await wanted()).toMatchObject({ version: 2, ...burst.wanted, reason: burst.reason });
    // What is wanted does not serve yet: nothing else changes meanwhile.
    expect(await decided(4, { tokens: 800, running: 32, queued: 90 })).toMatchObject({ action: 'stay' });
    expect(await wanted()).toMatchObject({ version: 2 });
  });

  test('waits for the first hosts of a model, so as not to send them away while they start', async () => {
    await prepare();
    const [host] = poolOf(MODEL, QUIET).hosts;
    const [expert] = host!.experts;
    const starting = [
      { ...host!, role: 'attention' as const, attention: [], experts: [] },
      {
        ...host!,
        role: 'experts' as const,
        attention: [],
        experts: [{ ...expert!, state: 'loading' as const }],
      },
    ];
    for (const hosts of [starting, [host!, starting[1]!]]) {
      const outcome = await runScaler(clients[0]!, { ...poolOf(MODEL, QUIET), hosts }, START_MS);
      expect(outcome).toEqual({ kind: 'unset', missing: 'hosts' });
    }
    expect(await decided(1, QUIET)).toMatchObject({ wanted: { attention: 1, experts: 1 } });
    // Once it is scaled, its record tells what is wanted.
    const outcome = await runScaler(
      clients[0]!,
      { ...poolOf(MODEL, QUIET), hosts: starting },
      START_MS + 2_000,
    );
    expect(outcome).toMatchObject({ kind: 'decided', decision: { wanted: { attention: 1, experts: 1 } } });
  });

  test('takes from the hosts what an instance holds, and wants first tokens in time where the target says so', async () => {
    await storeProfile(clients[0]!, MODEL, PROFILE);
    /** Wanted after a round in which instances of `slots` KV slots served what four sequences make. */
    const wantedWith = async (slots: number, ttftMs?: number): Promise<number> => {
      await clients[0]!.del(scalerRecordKey(MODEL), wantedSizesKey(MODEL));
      await storeTarget(clients[0]!, MODEL, { ...TARGET, ...(ttftMs !== undefined && { ttftMs }) });
      const load = { tokens: 0, running: 4, queued: 0 };
      for (const [second, tokens] of [0, 400].entries()) {
        const pool = poolOf(MODEL, { ...load, tokens });
        const [host] = pool.hosts;
        const [instance] = host!.attention;
        const hosts = [{ ...host!, attention: [{ ...instance!, slots }] }];
        await runScaler(clients[0]!, { ...pool, hosts }, START_MS + 2_000 * second);
      }
      return (await wanted()).attention;
    };
    const [ample, few] = [await wantedWith(32), await wantedWith(1)];
    expect(few).toBeGreaterThan(ample);
    expect(await wantedWith(1, 1_000)).toBeGreaterThan(few);
  });

  test('plans waits for a slot by the answers that end: fewer instances where all are as long', async () => {
    await prepare();
    const wantedWith = async (tokensSquared: number): Promise<number> => {
      await clients[0]!.del(scalerRecordKey(MODEL), wantedSizesKey(MODEL));
      await storeTarget(clients[0]!, MODEL, {
        ...TARGET,
        ttftMs: 2_000,
        limits: { ...TARGET.limits, headroom: 1 },
      });
      for (const [second, answers] of [0, 60].entries()) {
        const ended = { answers, tokens: 100 * answers, tokensSquared: answers * tokensSquared };
        const pool = poolOf(MODEL, { tokens: 6 * answers, running: 3, queued: 0, ended });
        const [host] = pool.hosts;
        const [instance] = host!.attention;
        const hosts = [{ ...host!, attention: [{ ...instance!, slots: 2 }] }];
        await runScaler(clients[0]!, { ...pool, hosts }, START_MS + 1_000 * second);
      }
      return (await wanted()).attention;
    };
    const [alike, scattered] = [await wantedWith(100 ** 2), await wantedWith(5 * 100 ** 2)];
    expect(alike).toBeLessThan(scattered);
    expect((await wanted()).reason).toContain('answers of 100 ± 200 tokens');
  });

  test.each([
    [
      { attention: 0, experts: 1 },
      { attention: 0, experts: 2 },
    ],
    [
      { attention: 0, experts: 0 },
      { attention: 0, experts: 0 },
    ],
  ])('lets an idle model go down to %j, with experts that hold it all or with none', async (floor, least) => {
    const limits = { ...TARGET.limits, floor, idleMs: 5_000 };
    await storeTarget(clients[0]!, MODEL, { ...TARGET, limits });
    const table = { ...PROFILE.table, instances: [2, 3, 4], values: PROFILE.table.values.slice(1) };
    await storeProfile(clients[0]!, MODEL, { ...PROFILE, table });
    const wantedNow = { version: 1, attention: 2, experts: 3, atMs: 0, reason: '' };
    await clients[0]!.set(wantedSizesKey(MODEL), JSON.stringify(wantedNow));
    const busy = { tokens: 4_000, running: 1, queued: 0 };
    await round(-300, QUIET);
    await decided(-100, busy);
    // The long window still knows of these tokens.
    expect(await decided(-96, { ...QUIET, tokens: 4_000 })).toMatchObject({ action: 'stay' });
    expect(await decided(-94, { ...QUIET, tokens: 4_000 })).toMatchObject({ action: 'down', wanted: least });
  });

  test('several at once leave one history, as one would', async () => {
    await prepare();
    const outcomes: RoundOutcome[] = [];
    const rounds = 25;
    for (let second = 0; second < rounds; second += 1) {
      const load = { tokens: 50 * second, running: 4, queued: second === 10 ? 60 : 0 };
      outcomes.push(...(await Promise.all(clients.map((client) => round(second, load, client)))));
    }
    const kinds = outcomes.map(({ kind }) => kind);
    expect(kinds).toContain('raced');
    const counted = kinds.filter((kind) => kind === 'decided').length;
    const { version, samples } = await record();
    expect(version).toBe(counted);
    const decisions = await readDecisions(clients[0]!, MODEL, 1_000);
    expect(decisions).toHaveLength(counted);
    // No second counts twice: the samples are those that one scaler would have.
    expect(samples.map(({ tokens, seconds }) => ({ tokens, seconds }))).toEqual(
      Array.from({ length: rounds - 1 }, () => ({ tokens: 50, seconds: 1 })),
    );
    const changes = decisions.filter(({ action }) => action !== 'stay');
    expect(await wanted()).toMatchObject({ version: 1 + changes.length, ...decisions[0]!.wanted });
  });

  test('keeps the latest decisions, newest first, and no more than a bound', async () => {
    await prepare();
    await round(0, QUIET);
    const [first] = await readDecisions(clients[0]!, MODEL, 1);
    const key = (await clients[0]!.keys('*scaler-decisions*'))[0]!;
    const filler = Array.from({ length: MOST_DECISIONS + 5 }, () => JSON.stringify(first));
    await clients[0]!.rpush(key, ...filler);
    await round(1, QUIET);
    await round(2, QUIET);
    expect(await clients[0]!.llen(key)).toBe(MOST_DECISIONS);
    const latest = await readDecisions(clients[0]!, MODEL, 2);
    expect(latest.map(({ atMs }) => atMs)).toEqual([START_MS + 2_000, START_MS + 1_000]);
    expect(await clients[0]!.ttl(key)).toBeGreaterThan(3_600);
  });

  test('corrects a profile by what steps take, and begins anew with another profile', async () => {
    await prepare();
    let correction = 1;
    for (let second = 0; second < 60; second += 1) {
      ({ correction } = await decided(second, { tokens: 80 * second, running: 8, queued: 0, stepMs: 80 }));
    }
    expect(correction).toBeGreaterThan(2);
    const [latest] = await readDecisions(clients[0]!, MODEL, 1);
    expect(latest!.drift).toBeGreaterThan(0.3);
    const again = { ...PROFILE, measuredAtMs: PROFILE.measuredAtMs + 1 };
    await clients[0]!.set(performanceProfileKey(MODEL), JSON.stringify(again));
    expect((await decided(60, { ...QUIET, tokens: 4_720 })).correction).toBe(1);
  });
});
