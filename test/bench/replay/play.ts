import { systemClock } from '../../../functions/clock.ts';
import { createPoolReader } from '../../../functions/dispatcher/pool-reader.ts';
import { storeProfile, storeTarget } from '../../../functions/scaler/scaler-store.ts';
import { startScaler } from '../../../functions/scaler/start-scaler.ts';
import { followWanted } from '../../../infra/actuators/follow-wanted.ts';
import type { PerformanceProfile, ScalingTarget } from '../../../shared/protocol/scaling.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_MODEL } from '../../support/test-host.ts';
import { percentile } from '../results.ts';
import { type Answered, gapsOf, sendDay } from './clients.ts';
import type { Arrival } from './day.ts';
import { ReplayPool } from './pool.ts';

const SAMPLE_MS = 250;
const SCALER_MS = 1_000;
const VOCABULARY = 4_096;

/** Processes that ran, and instances of them that served, in one moment of the day. */
export interface SizeSample {
  readonly atMs: number;
  readonly processes: number;
  readonly ready: PoolSizes;
}

/** How a day went. */
export interface Played {
  readonly answers: readonly Answered[];
  readonly sizes: readonly SizeSample[];
  /** Share of the times between tokens that are within the SLO. */
  readonly attainment: number;
  readonly tokenP95Ms: number;
  readonly failed: number;
  /** Seconds of all processes, also of those that start or drain. */
  readonly instanceSeconds: number;
}

/** What a scaled day needs besides; a static one has none. */
export interface Scaling {
  readonly profile: PerformanceProfile;
  readonly target: ScalingTarget;
}

/** Plays a day on a pool of its own that begins with `first`. */
export async function playDay(
  arrivals: readonly Arrival[],
  tpotMs: number,
  first: PoolSizes,
  most: PoolSizes,
  scaling?: Scaling,
): Promise<Played> {
  await using pool = await ReplayPool.start(first, most);
  await using parts = new AsyncDisposableStack();
  if (scaling !== undefined) {
    for (const stop of await scale(pool, scaling)) parts.defer(stop);
  }
  const sizes: SizeSample[] = [];
  const beganAtMs = performance.now();
  const sample = (): void => {
    const { processIds, ready } = pool.actuator;
    sizes.push({ atMs: performance.now() - beganAtMs, processes: processIds.length, ready });
  };
  sample();
  const timer = setInterval(sample, SAMPLE_MS);
  parts.defer(() => clearInterval(timer));
  const answers = await sendDay(pool.dispatcher, DICTIONARY_MODEL, VOCABULARY, arrivals);
  sample();
  const gaps = gapsOf(answers);
  return {
    answers,
    sizes,
    attainment: gaps.filter(({ gapMs }) => gapMs <= tpotMs).length / gaps.length,
    tokenP95Ms: percentile(
      gaps.map(({ gapMs }) => gapMs),
      0.95,
    ),
    failed: answers.filter(({ failed }) => failed).length,
    instanceSeconds: secondsOf(sizes),
  };
}

/** The scaler and who follows it, both as in production. */
async function scale(
  { redis, actuator }: ReplayPool,
  { profile, target }: Scaling,
): Promise<(() => Promise<void>)[]> {
  await storeProfile(redis, DICTIONARY_MODEL, profile);
  await storeTarget(redis, DICTIONARY_MODEL, target);
  const report = (error: unknown): void => console.error(error);
  return [
    startScaler({
      redis,
      pools: createPoolReader(redis),
      clock: systemClock,
      intervalMs: SCALER_MS,
      report,
      onDecision: (_, { action, reason }) => {
        if (action !== 'stay') console.error(reason);
      },
    }),
    followWanted({
      redis,
      model: DICTIONARY_MODEL,
      actuator,
      intervalMs: SAMPLE_MS,
      onOutcome: () => {},
      report,
    }),
  ];
}

function secondsOf(sizes: readonly SizeSample[]): number {
  const spans = sizes.slice(1).map(({ atMs }, i) => (atMs - sizes[i]!.atMs) * sizes[i]!.processes);
  return spans.reduce((sum, span) => sum + span, 0) / 1_000;
}
