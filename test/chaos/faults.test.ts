import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFailed, onTestFinished } from 'vitest';
import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { startPersistentRedis } from '../support/gateway/persistent-redis.ts';
import { startRedis } from '../support/gateway/redis-server.ts';
import { useRedis } from '../support/redis.ts';
import { DECIDED_CASES } from './decided-cases.ts';
import { type FleetHost, type FleetOptions, type HostFleet, useHostFleets } from './host-fleet.ts';
import { knownAnswers, SseStreams } from './sse-streams.ts';

/** `npm run test:chaos` sets it: all faults, for as long as they are meant, and bounds of the stalls. */
const IS_WHOLE = process.env.JANUS_CHAOS === 'whole';
const STREAMS = IS_WHOLE ? 32 : 6;
const QUESTIONS = IS_WHOLE ? 40 : 6;
/** So that every expert host holds all experts. */
const SLOTS = 32;
const STOP_MS = IS_WHOLE ? 2_000 : 1_000;
/** Far over the life of a job's lock. */
const LONG_STOP_MS = 5_000;
/** Silence is noticed after 400 ms; of the short run, which may share the cores with other tests, a looser bound. */
const MOST_SILENCE_STALL_MS = IS_WHOLE ? 600 : 2_000;
const TAKEOVER_LIMIT_MS = 3_500;
const RECOVERY_LIMIT_MS = 40_000;
const LIMIT_MS = 120_000;

const redis = useRedis();
const startFleet = useHostFleets();

interface Load {
  readonly fleet: HostFleet;
  readonly streams: SseStreams;
}

async function startLoad(options: Omit<FleetOptions, 'slots'>): Promise<Load> {
  const fleet = await startFleet({ ...options, slots: SLOTS });
  const questions = DECIDED_CASES.slice(0, QUESTIONS).map(({ question }) => question);
  const streams = new SseStreams(fleet.address, STREAMS, await knownAnswers(fleet.address, questions));
  await goesOn(streams);
  return { fleet, streams };
}

/** Resolves when every stream has got on. */
async function goesOn(streams: SseStreams, limitMs = RECOVERY_LIMIT_MS): Promise<void> {
  const seen = streams.pieces;
  await expect
    .poll(() => streams.pieces, { timeout: limitMs, interval: 20 })
    .toBeGreaterThan(seen + 10 * STREAMS);
}

/** Stops a host for a while as a machine that hangs does; returns when it was stopped and when it went on. */
async function stopFor(host: FleetHost, stopMs: number): Promise<{ stoppedAtMs: number; wokenAtMs: number }> {
  const stoppedAtMs = performance.now();
  host.program.kill('SIGSTOP');
  await sleep(stopMs);
  host.program.kill('SIGCONT');
  return { stoppedAtMs, wokenAtMs: performance.now() };
}

/** Tokens that were told twice, by request. */
async function doubledTokens(client: Redis): Promise<string[]> {
  const keys = await client.keys(tokenStreamKey('*'));
  const doubled: string[] = [];
  for (const key of keys) {
    const events = (await client.xrange(key, '-', '+')).map(
      ([, fields]) => JSON.parse(fields[fields.indexOf(TOKEN_STREAM_FIELD) + 1]!) as TokenEvent,
    );
    const positions = events.filter((event) => event.kind === 'token').map(({ position }) => position);
    if (new Set(positions).size < positions.length) doubled.push(`${key}: ${positions}`);
  }
  return doubled;
}

function connect(url: string): Redis {
  const client = new Redis(url);
  onTestFinished(() => client.disconnect());
  return client;
}

it(
  'an expert host that hangs is done without soon, and what it answers when it goes on changes nothing',
  async () => {
    const { fleet, streams } = await startLoad({ redisUrl: redis.url, attention: 1, experts: 2 });
    const { stoppedAtMs, wokenAtMs } = await stopFor(fleet.hosts.experts[0]!, STOP_MS);
    const stallMs = streams.longestGapMs(stoppedAtMs, wokenAtMs);
    await goesOn(streams);
    if (IS_WHOLE) {
      console.log(`an expert host hung for ${STOP_MS} ms: a stall of ${Math.round(stallMs)} ms`);
      await fleet.restored(2, RECOVERY_LIMIT_MS);
    }
    await streams.end();
    expect(streams.wrong).toEqual([]);
    expect(streams.failures).toEqual([]);
    expect(stallMs).toBeLessThan(MOST_SILENCE_STALL_MS);
  },
  LIMIT_MS,
);

describe.skipIf(!IS_WHOLE)('in the whole run', () => {
  it.each([2, 1])(
    'one of %i attention hosts that hangs loses its jobs, and writes nothing for them when it goes on',
    async (attention) => {
      const { fleet, streams } = await startLoad({ redisUrl: redis.url, attention, experts: 2 });
      const { stoppedAtMs, wokenAtMs } = await stopFor(fleet.hosts.attention[0]!, LONG_STOP_MS);
      const stallMs = streams.longestGapMs(stoppedAtMs, wokenAtMs);
      await goesOn(streams);
      const wakingMs = streams.longestGapMs(wokenAtMs, performance.now());
      await streams.end();
      console.log(
        `one of ${attention} attention hosts hung for ${LONG_STOP_MS} ms: a stall of ${Math.round(stallMs)} ms, ` +
          `of ${Math.round(wakingMs)} ms when it went on`,
      );
      expect(streams.wrong).toEqual([]);
      expect(streams.failures).toEqual([]);
      expect(await doubledTokens(connect(redis.url))).toEqual([]);
      if (attention > 1) expect(stallMs).toBeLessThan(TAKEOVER_LIMIT_MS);
    },
    LIMIT_MS,
  );

  it.each(['keeps', 'forgets'])(
    'when Redis dies and comes back, and %s what it held, requests go on or are told to come again',
    async (memory) => {
      const server = memory === 'keeps' ? await startPersistentRedis('everysec') : await startForgetful();
      onTestFinished(server.stop);
      const { fleet, streams } = await startLoad({ redisUrl: server.url, attention: 2, experts: 2 });
      onTestFailed(() => console.error(JSON.stringify(streams.failures.slice(0, 2 * STREAMS))));
      const killedAtMs = performance.now();
      await server.kill();
      await sleep(1_000);
      await server.start();
      await goesOn(streams);
      await fleet.restored(2, RECOVERY_LIMIT_MS);
      await goesOn(streams);
      const stallMs = streams.longestGapMs(killedAtMs, performance.now());
      await streams.end();
      console.log(
        `Redis died, came back after 1 s, and ${memory} what it held: ${streams.finished} answers finished, ` +
          `${streams.failures.length} failed, a stall of ${Math.round(stallMs)} ms`,
      );
      expect(streams.wrong).toEqual([]);
      // A model that Redis has forgotten is unknown until the next heartbeat of one of its hosts.
      const isUnknown = (status: number): boolean => memory === 'forgets' && status === 404;
      const isTold = ({ status, retryAfter }: (typeof streams.failures)[number]): boolean =>
        status === 200 || isUnknown(status) || (status === 503 && Number(retryAfter) > 0);
      expect(streams.failures.filter((failure) => !isTold(failure))).toEqual([]);
    },
    LIMIT_MS,
  );
});

/** A server that keeps nothing, in the terms of one that does. */
async function startForgetful() {
  let server = await startRedis();
  const { url, port } = server;
  return {
    url,
    kill: () => server.stop(),
    start: async () => {
      server = await startRedis(port);
    },
    stop: () => server.stop(),
  };
}
