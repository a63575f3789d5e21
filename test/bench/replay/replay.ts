import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { LoadWatch } from '../peer/measure/machine-load.ts';
import { allTokens, attainmentOf, type TokenTargets } from './attainment.ts';
import { caseOf, type ReplayCase } from './case.ts';
import { type Arrival, arrivalsOf, type Day, peakOf } from './day.ts';
import { drawReplay } from './picture.ts';
import { fullThroughput, type Played, playDay } from './play.ts';
import { SEQUENCES_PER_ATTENTION, WIRE_MS } from './pool.ts';
import { profileOf } from './profile.ts';
import { replayTarget } from './target.ts';

/**
 * `leastStatic`: attention instances of the smallest static layout that is played, since fewer hold not three quarters of the peak's sequences;
 * `peakShare`: the part of the day that static layouts are played over.
 */
const FULL = { durationMs: 600_000, leastStatic: 5, peakShare: 0.16 };
const QUICK = { durationMs: 45_000, leastStatic: 5, peakShare: 0.3 };
const PEAK_OVER_LEAST = 7.5;
const ANSWER_TOKENS = [12, 20] as const;
const SEED = 7;
/** What runs beside the benchmark is looked for so long before each day. */
const PAUSE_MS = 500;
/** What users want, of every layout. */
const TARGETS: TokenTargets = { ttftMs: 4_000, tpotMs: 250 };
/** One expert instance holds all experts. */
const LEAST: PoolSizes = { attention: 1, experts: 1 };
const MOST: PoolSizes = { attention: 7, experts: 1 };
/** The highest point of the day over what this layout makes with all slots taken. */
const PEAK: PoolSizes = { attention: 6, experts: 1 };
const PEAK_OVER_FULL = 0.95;

/** A day with a steep peak on real processes: as scaled by demand, and on static layouts up to the smallest that meets the targets. */
export async function run({ quick }: { quick: boolean }): Promise<Record<string, unknown>> {
  const { durationMs, leastStatic, peakShare } = quick ? QUICK : FULL;
  const watch = new LoadWatch();
  const profile = await profileOf(LEAST, MOST.experts);
  const fullTokens = await fullThroughput(PEAK);
  const meanAnswer = (ANSWER_TOKENS[0] + ANSWER_TOKENS[1]) / 2;
  const peakTokens = PEAK_OVER_FULL * fullTokens;
  const day: Day = {
    durationMs,
    peakRate: peakTokens / meanAnswer,
    peakOverLeast: PEAK_OVER_LEAST,
    answerTokens: ANSWER_TOKENS,
  };
  const arrivals = arrivalsOf(day, seededRandom(SEED));
  const target = replayTarget(durationMs, TARGETS, {
    least: LEAST,
    most: MOST,
    tokensPerSequence: meanAnswer,
  });
  await watch.pause(PAUSE_MS);
  const scaled = await playDay(arrivals, LEAST, MOST, { profile, target });
  const asked = attainmentOf(scaled.answers, TARGETS);
  const cases: ReplayCase[] = [
    caseOf('scaled', 'day', scaled.instanceSeconds, scaled, { targets: TARGETS, day: asked }),
  ];
  const peak = peakOf(day, arrivals, peakShare);
  const statics = await playStatics(peak, leastStatic, async (sizes, played) => {
    await watch.pause(PAUSE_MS);
    const instanceSeconds = ((sizes.attention + sizes.experts) * durationMs) / 1_000;
    return caseOf(nameOf(sizes), 'peak', instanceSeconds, played, { targets: TARGETS, day: asked });
  });
  cases.push(...statics);
  const meeting = statics.find(({ meets }) => meets);
  const markdown = '![Load, instances and attainment over the day](replay.svg)';
  return {
    cases,
    ttftSloMs: TARGETS.ttftMs,
    tpotSloMs: TARGETS.tpotMs,
    sequencesPerAttention: SEQUENCES_PER_ATTENTION,
    wireMsEachWay: WIRE_MS,
    answerTokens: ANSWER_TOKENS,
    dayTokens: allTokens(asked).asked,
    peakTokensPerSecond: peakTokens,
    peakOverLeast: PEAK_OVER_LEAST,
    peakSecondsOfStatics: (peakShare * durationMs) / 1_000,
    savedInstanceSeconds:
      meeting === undefined
        ? `no static layout up to ${nameOf(MOST)} meets the targets`
        : 1 - scaled.instanceSeconds / meeting.instanceSeconds,
    machineLoad: watch.result(),
    page: { markdown, files: { 'replay.svg': drawReplay(day, TARGETS, scaled) } },
  };
}

/** From few attention instances to many, until one layout meets the targets. */
async function playStatics(
  peak: readonly Arrival[],
  leastStatic: number,
  toCase: (sizes: PoolSizes, played: Played) => Promise<ReplayCase>,
): Promise<ReplayCase[]> {
  const cases: ReplayCase[] = [];
  for (let attention = leastStatic; attention <= MOST.attention; attention += 1) {
    const sizes = { ...LEAST, attention };
    const played = await toCase(sizes, await playDay(peak, sizes, sizes));
    cases.push(played);
    if (played.meets) break;
  }
  return cases;
}

const nameOf = ({ attention, experts }: PoolSizes): string => `static ${attention}A${experts}E`;
