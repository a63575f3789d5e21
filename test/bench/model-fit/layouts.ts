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
const MOST_EXPERTS = 3;
/** Of one attention instance. */
const MOST_SEQUENCES = 16;
/** Blocks of kept prompts, and one token more. */
const PROMPT_BLOCK = 64;
const MOST_BLOCKS = 5;
const ANSWER_TOKENS = 128;

/** `perKind` random cases of each kind. The same draws give the same cases. */
export function drawCases(perKind: number, random: () => number): FitCase[] {
  const upTo = (most: number): number => 1 + Math.floor(random() * most);
  return KINDS.flatMap((kind) =>
    Array.from({ length: perKind }, (): FitCase => {
      const attention = upTo(MOST_ATTENTION);
      const experts = upTo(MOST_EXPERTS);
      const sequences = attention * upTo(MOST_SEQUENCES);
      const promptTokens = (upTo(MOST_BLOCKS + 1) - 1) * PROMPT_BLOCK + 1;
      return { kind, attention, experts, sequences, promptTokens, answerTokens: ANSWER_TOKENS };
    }),
  );
}
