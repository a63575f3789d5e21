import { availableParallelism } from 'node:os';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { measureProfile } from '../../../infra/profile/run-profile.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { modelsKey } from '../../../shared/protocol/keys.ts';
import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { PerformanceProfile, ScalingTarget } from '../../../shared/protocol/scaling.ts';
import { SCALING_LIMITS } from '../../../shared/scaling/decide.ts';
import { type PoolSizes, type SizeBounds, solveSize } from '../../../shared/scaling/solver.ts';
import { DICTIONARY_MODEL } from '../../support/test-host.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { arrivalsOf, type Day } from './day.ts';
import { drawReplay } from './picture.ts';
import { type Played, playDay } from './play.ts';
import { ReplayPool, SEQUENCES_PER_ATTENTION } from './pool.ts';

const FULL_MS = 600_000;
const QUICK_MS = 60_000;
const PEAK_OVER_LEAST = 7.5;
const ANSWER_TOKENS = [32, 96] as const;
const CONTEXT = 60;
const SEED = 7;
/** What runs beside the benchmark is looked for so long before each day. */
const PAUSE_MS = 500;
/** What the scaler aims at over the time that a token takes which nobody else is decoded beside. */
const TARGET_OVER_ALONE = 3;
/** The SLO over that: the scaler plans for the mean, and times scatter. */
const SLO_OVER_TARGET = 1.7;
/** Share of the times between tokens that a layout must have within the SLO to meet it. */
const MEETS = 0.95;
/** Expert instances stay: one holds all experts, and the machine has few processors. */
const LEAST: PoolSizes = { attention: 1, experts: 1 };
const MOST: PoolSizes = { attention: 3, experts: 1 };
/** Limits of the scaler are made for days that last 24 hours, and are compressed less than the day: instances start no faster. */
const COOLDOWN_SHARE = 1 / 30;

interface ReplayCase {
  readonly layout: string;
  readonly sloAttainment: number;
  readonly tokenP95Ms: number;
  readonly failed: number;
  readonly requests: number;
  readonly instanceSeconds: number;
}

/** A day with a steep peak on real processes: as scaled by demand, and on static layouts up to the smallest that meets the SLO. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const durationMs = quick ? QUICK_MS : FULL_MS;
  const watch = new LoadWatch();
  const profile = await profileOnce();
  const bounds: SizeBounds = {
    leastAttention: LEAST.attention,
    mostAttention: MOST.attention,
    leastExperts: LEAST.experts,
    mostExperts: MOST.experts,
    sequencesPerAttention: SEQUENCES_PER_ATTENTION,
  };
  const targetMs = TARGET_OVER_ALONE * tpotOf(profile, bounds, 1);
  const tpotMs = Math.ceil(SLO_OVER_TARGET * targetMs);
  const day: Day = {
    durationMs,
    peakRate: peakTokens(profile, bounds, targetMs) / mean(ANSWER_TOKENS),
    peakOverLeast: PEAK_OVER_LEAST,
    answerTokens: ANSWER_TOKENS,
  };
  const arrivals = arrivalsOf(day, seededRandom(SEED));
  const target = targetOf(durationMs, targetMs, bounds);
  await watch.pause(PAUSE_MS);
  const scaled = await playDay(arrivals, tpotMs, LEAST, MOST, { profile, target });
  const cases: ReplayCase[] = [caseOf('scaled', scaled)];
  let meeting: ReplayCase | undefined;
  for (let attention = LEAST.attention; attention <= MOST.attention && meeting === undefined; attention++) {
    await watch.pause(PAUSE_MS);
    const sizes = { ...LEAST, attention };
    const layout = caseOf(
      `static ${attention}A${sizes.experts}E`,
      await playDay(arrivals, tpotMs, sizes, MOST),
    );
    cases.push(layout);
    if (layout.sloAttainment >= MEETS) meeting = layout;
  }
  const markdown = '![Demand, processes and times between tokens over the day](replay.svg)';
  return {
    cases,
    tpotSloMs: tpotMs,
    scalerTargetMs: targetMs,
    peakTokensPerSecond: day.peakRate * mean(ANSWER_TOKENS),
    savedInstanceSeconds:
      meeting === undefined
        ? `no layout up to ${MOST.attention}A meets it`
        : 1 - scaled.instanceSeconds / meeting.instanceSeconds,
    machineLoad: watch.result(),
    page: { markdown, files: { 'replay.svg': drawReplay(day, tpotMs, scaled) } },
  };
}

/** The costs of the smallest layout; what instances more make of them, the model says. */
async function profileOnce(): Promise<PerformanceProfile> {
  await using pool = await ReplayPool.start(LEAST, MOST);
  const { redis, dispatcher } = pool;
  const [card, placement] = [
    await redis.hget(modelsKey, DICTIONARY_MODEL),
    await readPlacement(redis, DICTIONARY_MODEL),
  ];
  if (card === null || placement === null)
    throw new JanusError('The pool has started without a placement: see its output.');
  const { profile } = await measureProfile({
    redis,
    dispatcher,
    card: JSON.parse(card) as ModelCard,
    placement,
    processors: availableParallelism(),
    mostExperts: MOST.experts,
    log: console.error,
  });
  return profile;
}

function tpotOf({ model, table }: PerformanceProfile, bounds: SizeBounds, tokensPerSecond: number): number {
  const solved = solveSize({ model, table, demand: { tokensPerSecond, context: CONTEXT }, bounds }, LEAST);
  if (solved === null)
    throw new JanusError(
      `The profile says that not even ${tokensPerSecond} tokens per second can be served.`,
    );
  return solved.tpot.totalMs;
}

/** A peak between what the smallest and the largest layout serve within the SLO: scaling has something to do, and can do it. */
function peakTokens({ model, table }: PerformanceProfile, bounds: SizeBounds, tpotMs: number): number {
  const capacityOf = (sizes: PoolSizes): number => {
    let tokensPerSecond = 1;
    for (;;) {
      const demand = { tokensPerSecond: tokensPerSecond * 1.02, context: CONTEXT };
      const solved = solveSize({ model, table, demand, bounds }, sizes);
      if (solved === null || solved.tpot.totalMs > tpotMs) return tokensPerSecond;
      tokensPerSecond = demand.tokensPerSecond;
    }
  };
  return Math.sqrt(capacityOf(LEAST) * capacityOf(MOST));
}

function targetOf(durationMs: number, tpotMs: number, bounds: SizeBounds): ScalingTarget {
  const cooldownMs = durationMs * COOLDOWN_SHARE;
  return {
    tpotMs,
    bounds,
    limits: {
      ...SCALING_LIMITS,
      downCooldownMs: cooldownMs,
      downAfterMs: cooldownMs,
      changeLimitMs: 3 * cooldownMs,
      floor: LEAST,
    },
    window: {
      shortMs: Math.max(3_000, cooldownMs / 4),
      longMs: 2 * cooldownMs,
      tokensPerSequence: mean(ANSWER_TOKENS),
    },
  };
}

function caseOf(layout: string, played: Played): ReplayCase {
  const { attainment, tokenP95Ms, failed, answers, instanceSeconds } = played;
  console.error(`${layout}: ${(100 * attainment).toFixed(1)}% within the SLO, ${failed} failed`);
  return { layout, sloAttainment: attainment, tokenP95Ms, failed, requests: answers.length, instanceSeconds };
}

const mean = ([least, most]: readonly [number, number]): number => (least + most) / 2;
