import type { AnswerCount, AttentionInstanceRecord } from '../protocol/member.ts';

/** Fewer answers tell too little of how their lengths vary. */
const LEAST_ANSWERS = 32;

/** How long answers are. */
export interface AnswerLength {
  /** Mean, in tokens. */
  readonly tokens: number;
  /** Their coefficient of variation. */
  readonly variation: number;
}

export const NO_ANSWERS: AnswerCount = { answers: 0, tokens: 0, tokensSquared: 0 };

/** @returns attention instance → the answers that have ended on it since its start */
export const answersEnded = (
  instances: readonly AttentionInstanceRecord[],
): Readonly<Record<string, AnswerCount>> =>
  Object.fromEntries(instances.map(({ id, pace }) => [id, pace?.ended ?? NO_ANSWERS]));

/** Answers that ended between two observations. An instance that is new, or began anew under its old name, counts from its start. */
export function answersBetween(
  before: Readonly<Record<string, AnswerCount>>,
  after: Readonly<Record<string, AnswerCount>>,
): AnswerCount {
  return Object.entries(after).reduce((sum, [id, count]) => {
    const earlier = before[id];
    const from = earlier === undefined || count.answers < earlier.answers ? NO_ANSWERS : earlier;
    return {
      answers: sum.answers + count.answers - from.answers,
      tokens: sum.tokens + count.tokens - from.tokens,
      tokensSquared: sum.tokensSquared + count.tokensSquared - from.tokensSquared,
    };
  }, NO_ANSWERS);
}

/**
 * How long the counted answers are.
 *
 * @param expectedTokens is taken where too few ended, with the variation of exponential lengths
 */
export function answerLength(
  counts: readonly (AnswerCount | undefined)[],
  expectedTokens: number,
): AnswerLength {
  let [answers, tokens, tokensSquared] = [0, 0, 0];
  for (const count of counts) {
    answers += count?.answers ?? 0;
    tokens += count?.tokens ?? 0;
    tokensSquared += count?.tokensSquared ?? 0;
  }
  if (answers < LEAST_ANSWERS || tokens === 0) return { tokens: expectedTokens, variation: 1 };
  const mean = tokens / answers;
  const variance = Math.max(0, tokensSquared / answers - mean ** 2);
  return { tokens: mean, variation: Math.sqrt(variance) / mean };
}
