import { systemClock } from '../../../functions/clock.ts';
import { createPoolReader } from '../../../functions/dispatcher/pool-reader.ts';
import { storeProfile, storeTarget } from '../../../functions/scaler/scaler-store.ts';
import { startScaler } from '../../../functions/scaler/start-scaler.ts';
import { followWanted } from '../../../infra/actuators/follow-wanted.ts';
import type { PerformanceProfile, ScalingTarget } from '../../../shared/protocol/scaling.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_MODEL } from '../../support/test-host.ts';
import type { HostProcesses } from '../systems/host-processes.ts';
import { type Answered, sendDay } from './clients.ts';
import type { Arrival } from './day.ts';
import { SEQUENCES_PER_ATTENTION, startReplayPool } from './pool.ts';

const SAMPLE_MS = 250;
const SCALER_MS = 1_000;
const VOCABULARY = 4_096;
/** So often each slot is taken before the day begins: hosts compute at half their speed until their code is compiled. */
const WARM_UP_ROUNDS = 4;
const WARM_UP_TOKENS = 24;
/** Part of the time of a full load in which all slots are taken: not the first answers, nor the last. */
const FULL_FROM = 0.3;
const FULL_UNTIL = 0.8;
const FULL_ROUNDS = 11;

/** Processes that ran, instances of them that served, and what the scaler wanted, in one moment of the day. */
export interface SizeSample {
  readonly atMs: number;
  readonly processes: number;
  readonly ready: PoolSizes;
  readonly wanted: PoolSizes;
}

/** How a day went. */
export interface Played {
  readonly answers: readonly Answered[];
  readonly sizes: readonly SizeSample[];
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
  first: PoolSizes,
  most: PoolSizes,
  scaling?: Scaling,
): Promise<Played> {
  await using parts = new AsyncDisposableStack();
  const pool = await startReplayPool(first, most, parts);
  await fillSlots(pool, first, WARM_UP_ROUNDS);
  if (scaling !== undefined) {
    for (const stop of await scale(pool, scaling)) parts.defer(stop);
  }
  const sizes: SizeSample[] = [];
  const beganAtMs = performance.now();
  const sample = async (): Promise<void> => {
    const { processIds, ready } = pool.actuator;
    const wanted = (await pool.actuator.read(DICTIONARY_MODEL))!;
    sizes.push({ atMs: performance.now() - beganAtMs, processes: processIds.length, ready, wanted });
  };
  await sample();
  const timer = setInterval(() => void sample(), SAMPLE_MS);
  parts.defer(() => clearInterval(timer));
  const answers = await sendDay(pool.dispatcher, DICTIONARY_MODEL, VOCABULARY, arrivals);
  await sample();
  const failed = answers.filter((answer) => answer.failed).length;
  return { answers, sizes, failed, instanceSeconds: secondsOf(sizes) };
}

/** Tokens per second of instances whose slots are all taken all the time. */
export async function fullThroughput(sizes: PoolSizes): Promise<number> {
  await using parts = new AsyncDisposableStack();
  const pool = await startReplayPool(sizes, sizes, parts);
  await fillSlots(pool, sizes, WARM_UP_ROUNDS);
  const answers = await fillSlots(pool, sizes, FULL_ROUNDS);
  const readAtMs = answers.flatMap((answer) => answer.readAtMs).sort((a, b) => a - b);
  const endedAtMs = readAtMs.at(-1)!;
  const [fromMs, untilMs] = [FULL_FROM * endedAtMs, FULL_UNTIL * endedAtMs];
  const tokens = readAtMs.filter((atMs) => atMs >= fromMs && atMs < untilMs).length;
  return (1_000 * tokens) / (untilMs - fromMs);
}

/** Has every slot taken so many times, by requests that all come at once. */
function fillSlots(pool: HostProcesses, { attention }: PoolSizes, rounds: number): Promise<Answered[]> {
  const count = rounds * attention * SEQUENCES_PER_ATTENTION;
  const arrivals = Array.from({ length: count }, (_, seed) => ({
    atMs: 0,
    answerTokens: WARM_UP_TOKENS,
    seed,
  }));
  return sendDay(pool.dispatcher, DICTIONARY_MODEL, VOCABULARY, arrivals);
}

/** The scaler and who follows it, both as in production. */
async function scale(
  { redis, actuator }: HostProcesses,
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
