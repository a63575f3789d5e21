/** How instances are spread: each in a process of its own, or all as threads of one. */
export const KINDS = ['processes f32', 'one host f32', 'one host int4'] as const;
export type Kind = (typeof KINDS)[number];

/** A layout and a load that nobody chose. */
export interface FitCase {
  readonly kind: Kind;
  readonly attention: number;
  readonly experts: number;
  readonly sequences: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
}

const MOST_ATTENTION = 3;
const MOST_EXPERTS = 4;
const MOST_SEQUENCES = 32;
/** Mean contexts of sequences while they decode. */
const LEAST_CONTEXT = 16;
const MOST_CONTEXT = 256;
/** Blocks in which prompts are kept; an answer is as long as they leave it, so that sequences seldom begin. */
const PROMPT_BLOCK = 64;
const MOST_ANSWER = 256;

/**
 * `perKind` random cases of each kind, by layout. The same draws give the same cases.
 *
 * @param sequencesPerAttention that an attention instance holds
 */
export function drawCases(perKind: number, sequencesPerAttention: number, random: () => number): FitCase[] {
  const between = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1));
  return KINDS.flatMap((kind) => {
    const cases = Array.from({ length: perKind }, (): FitCase => {
      const attention = between(1, MOST_ATTENTION);
      const experts = between(1, MOST_EXPERTS);
      const sequences = between(attention, Math.min(MOST_SEQUENCES, attention * sequencesPerAttention));
      const context = between(LEAST_CONTEXT, MOST_CONTEXT);
      const blocks = Math.max(0, Math.ceil((context - 1 - MOST_ANSWER / 2) / PROMPT_BLOCK));
      // A token beyond the kept blocks has to be computed.
      const promptTokens = blocks * PROMPT_BLOCK + 1;
      return {
        kind,
        attention,
        experts,
        sequences,
        promptTokens,
        answerTokens: 2 * (context - promptTokens),
      };
    });
    return cases.sort((a, b) => a.attention - b.attention || a.experts - b.experts);
  });
}
