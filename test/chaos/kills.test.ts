import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFailed } from 'vitest';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { useRedis } from '../support/redis.ts';
import { DECIDED_CASES } from './decided-cases.ts';
import { type HostFleet, type HostRole, useHostFleets } from './host-fleet.ts';
import { quantile } from './interactive-client.ts';
import { knownAnswers, SseStreams } from './sse-streams.ts';

/** `npm run test:chaos` sets it: as many kills as say something of the slowest of them, and bounds of the stalls. */
const IS_WHOLE = process.env.JANUS_CHAOS === 'whole';
/** Kills of each role; the environment may ask for others, where there is less time. */
const KILLS: Readonly<Record<HostRole, number>> = IS_WHOLE
  ? {
      experts: Number(process.env.JANUS_CHAOS_EXPERT_KILLS ?? 100),
      attention: Number(process.env.JANUS_CHAOS_ATTENTION_KILLS ?? 30),
    }
  : { experts: 2, attention: 1 };
const SEED = Number(process.env.JANUS_CHAOS_SEED ?? 1);
const STREAMS = IS_WHOLE ? 32 : 8;
const QUESTIONS = IS_WHOLE ? 40 : 8;
const LIMIT_MS = IS_WHOLE ? 20 * 60_000 : 60_000;
/** Two replicas of each of the 32 experts on three hosts, or three, so that a second host may die before another one has started. */
const SLOTS = IS_WHOLE ? 22 : 32;
const RESTORATION_LIMIT_MS = 30_000;
/** Longest random time from a restoration to the next kill. */
const MOST_PAUSE_MS = IS_WHOLE ? 500 : 100;
/** Time after a kill in which a stall is its consequence; only then another host is started, which takes the cores. */
const CONSEQUENCE_MS: Readonly<Record<HostRole, number>> = { experts: 700, attention: 3_200 };
/** Bounds of the stalls; of the few of the short run, which may share the cores with other tests, looser ones. */
const MOST_STALL_MS: Readonly<Record<HostRole, number>> = IS_WHOLE
  ? { experts: 500, attention: 3_000 }
  : { experts: 2_000, attention: 6_000 };

const redis = useRedis();
const startFleet = useHostFleets();

interface Kill {
  readonly role: HostRole;
  readonly stallMs: number;
  /** The longest gap while another host started and replicas were restored. */
  readonly startGapMs: number;
  readonly replacedMs: number;
}

/** The roles of the hosts to be killed, in a random order. */
function planKills(random: () => number): HostRole[] {
  const roles: HostRole[] = [
    ...new Array<HostRole>(KILLS.experts).fill('experts'),
    ...new Array<HostRole>(KILLS.attention).fill('attention'),
  ];
  // The short run has replicas for two dead expert hosts, and time for one new host.
  if (!IS_WHOLE) return roles;
  for (let i = roles.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [roles[i], roles[other]] = [roles[other]!, roles[i]!];
  }
  return roles;
}

async function kill(
  fleet: HostFleet,
  streams: SseStreams,
  role: HostRole,
  random: () => number,
): Promise<Kill> {
  await sleep(random() * MOST_PAUSE_MS);
  const hosts = fleet.hosts[role];
  const victim = hosts[Math.floor(random() * hosts.length)]!;
  const killedAtMs = performance.now();
  await fleet.kill(role, victim);
  const consequenceMs = CONSEQUENCE_MS[role];
  await sleep(consequenceMs - (performance.now() - killedAtMs));
  const startedAtMs = performance.now();
  if (IS_WHOLE) {
    await fleet.start(role);
    await fleet.restored(2, RESTORATION_LIMIT_MS);
  }
  const endedAtMs = performance.now();
  // Asked only now, so that a stall which lasts longer is told in its whole length.
  const stallMs = streams.longestGapMs(killedAtMs, killedAtMs + consequenceMs);
  const startGapMs = streams.longestGapMs(startedAtMs, endedAtMs);
  return { role, stallMs, startGapMs, replacedMs: endedAtMs - killedAtMs };
}

function tellTable(kills: readonly Kill[], streams: SseStreams, tookMs: number): void {
  const rows = (['experts', 'attention'] as const).map((role) => {
    const of = kills.filter((one) => one.role === role);
    const figures = (values: readonly number[]) =>
      [0.5, 0.99, 1].map((share) => Math.round(quantile(values, share))).join(' / ');
    const [stalls, gaps, times] = [
      of.map(({ stallMs }) => stallMs),
      of.map(({ startGapMs }) => startGapMs),
      of.map(({ replacedMs }) => replacedMs),
    ];
    return `| ${role} | ${of.length} | ${figures(stalls)} | ${figures(gaps)} | ${figures(times)} |`;
  });
  console.log(
    [
      `seed ${SEED}, ${STREAMS} streams, ${Math.round(tookMs / 1_000)} s: ${streams.finished} answers finished, ` +
        `${streams.wrong.length} wrong, ${streams.failures.length} failed`,
      '| killed | times | stall p50 / p99 / most, ms | gap while another starts | replaced after |',
      '| --- | --- | --- | --- | --- |',
      ...rows,
    ].join('\n'),
  );
}

it(
  'streams have exactly the tokens of an undisturbed run, though expert and attention hosts are killed under them',
  async () => {
    const random = seededRandom(SEED);
    const fleet = await startFleet({ redisUrl: redis.url, attention: 2, experts: 3, slots: SLOTS });
    const cases = DECIDED_CASES.slice(0, QUESTIONS);
    const known = await knownAnswers(
      fleet.address,
      cases.map(({ question }) => question),
    );
    expect(known.map(({ text }) => text)).toEqual(cases.map(({ text }) => text));

    const startedAtMs = performance.now();
    const streams = new SseStreams(fleet.address, STREAMS, known);
    const kills: Kill[] = [];
    onTestFailed(() => tellTable(kills, streams, performance.now() - startedAtMs));
    await expect.poll(() => streams.pieces, { timeout: 10_000 }).toBeGreaterThan(10 * STREAMS);
    for (const role of planKills(random)) kills.push(await kill(fleet, streams, role, random));
    await streams.end();

    expect(streams.wrong).toEqual([]);
    expect(streams.failures).toEqual([]);
    expect(streams.finished).toBeGreaterThan(STREAMS);
    for (const role of ['experts', 'attention'] as const) {
      const stalls = kills.filter((one) => one.role === role).map(({ stallMs }) => stallMs);
      expect(quantile(stalls, 0.99)).toBeLessThanOrEqual(MOST_STALL_MS[role]);
    }
    if (IS_WHOLE) tellTable(kills, streams, performance.now() - startedAtMs);
  },
  LIMIT_MS,
);
