import { percentile } from '../results.ts';
import {
  type Attainment,
  allTokens,
  atMostOverDay,
  attainmentOf,
  gapsOf,
  shareInTime,
  type TokenTargets,
} from './attainment.ts';
import type { Played } from './play.ts';

/** Share of the tokens, and of the first tokens alone, that a layout must have in time to meet the targets. */
const WANTED_SHARE = 0.99;

/** One line of the table. */
export interface ReplayCase {
  readonly layout: string;
  /** What of the day was played. */
  readonly played: 'day' | 'peak';
  readonly requests: number;
  readonly failed: number;
  readonly ttftP95Ms: number;
  readonly tokenP95Ms: number;
  readonly firstTokensInTime: number;
  readonly tokensInTime: number;
  /** The same over the whole day if all tokens beside the part that was played were in time. */
  readonly dayFirstAtMost: number;
  readonly dayTokensAtMost: number;
  readonly meets: boolean;
  /** Over the whole day. */
  readonly instanceSeconds: number;
}

/** @param day what the whole day asks for */
export function caseOf(
  layout: string,
  part: ReplayCase['played'],
  instanceSeconds: number,
  { answers, failed }: Played,
  { targets, day }: { readonly targets: TokenTargets; readonly day: Attainment },
): ReplayCase {
  const attained = attainmentOf(answers, targets);
  const dayFirstAtMost = atMostOverDay(attained.first, day.first);
  const dayTokensAtMost = atMostOverDay(allTokens(attained), allTokens(day));
  const firstMs = answers.flatMap(({ sentAtMs, readAtMs: [first] }) =>
    first === undefined ? [] : [first - sentAtMs],
  );
  const played: ReplayCase = {
    layout,
    played: part,
    requests: answers.length,
    failed,
    ttftP95Ms: percentile(firstMs, 0.95),
    tokenP95Ms: percentile(
      gapsOf(answers).map(({ gapMs }) => gapMs),
      0.95,
    ),
    firstTokensInTime: shareInTime(attained.first),
    tokensInTime: shareInTime(allTokens(attained)),
    dayFirstAtMost,
    dayTokensAtMost,
    meets: Math.min(dayFirstAtMost, dayTokensAtMost) >= WANTED_SHARE && failed === 0,
    instanceSeconds,
  };
  console.error(
    `${layout}: ${(100 * played.firstTokensInTime).toFixed(1)}% of first and ${(100 * played.tokensInTime).toFixed(1)}% of all ` +
      `tokens in time, ${failed} failed, ${instanceSeconds.toFixed(0)} instance-seconds`,
  );
  return played;
}
