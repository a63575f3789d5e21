import type { Answered } from './clients.ts';

/** What a user wants of each token. The same for all layouts. */
export interface TokenTargets {
  /** Largest time to first token, in milliseconds. */
  readonly ttftMs: number;
  /** Largest time between two tokens, in milliseconds. */
  readonly tpotMs: number;
}

/** Tokens that were asked for, and those of them that came in time. */
export interface Counted {
  readonly asked: number;
  readonly inTime: number;
}

/** Of first tokens, and of those that follow another. */
export interface Attainment {
  readonly first: Counted;
  readonly later: Counted;
}

/** A first token is in time by TTFT, a later one by the time since the one before it; what never came is not. */
export function attainmentOf(answers: readonly Answered[], { ttftMs, tpotMs }: TokenTargets): Attainment {
  const gaps = gapsOf(answers);
  return {
    first: {
      asked: answers.length,
      inTime: answers.filter(
        ({ sentAtMs, readAtMs: [first] }) => first !== undefined && first - sentAtMs <= ttftMs,
      ).length,
    },
    later: {
      asked: answers.reduce((sum, { askedTokens }) => sum + askedTokens - 1, 0),
      inTime: gaps.filter(({ gapMs }) => gapMs <= tpotMs).length,
    },
  };
}

/** Both kinds together. */
export const allTokens = ({ first, later }: Attainment): Counted => ({
  asked: first.asked + later.asked,
  inTime: first.inTime + later.inTime,
});

export const shareInTime = ({ asked, inTime }: Counted): number => (asked === 0 ? 1 : inTime / asked);

/** What a part of the day says of the whole: as if all other tokens of the day came in time. */
export const atMostOverDay = (part: Counted, day: Counted): number =>
  shareInTime({ asked: day.asked, inTime: day.asked - (part.asked - part.inTime) });

/** Times between tokens of all answers, each with the time at which the later one was read. */
export const gapsOf = (answers: readonly Answered[]): { readonly atMs: number; readonly gapMs: number }[] =>
  answers.flatMap(({ readAtMs }) =>
    readAtMs.slice(1).map((atMs, i) => ({ atMs, gapMs: atMs - readAtMs[i]! })),
  );
