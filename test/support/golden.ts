import golden from '../golden/dictionary-moe.json' with { type: 'json' };

/** One prompt with what an independent PyTorch run of the same weights answered greedily. */
export interface GoldenCase {
  readonly question: string;
  readonly prompt_ids: readonly number[];
  readonly generated_ids: readonly number[];
  readonly text: string;
  /** Best five first tokens as [id, log probability]. */
  readonly first_top5: readonly (readonly [number, number])[];
  /** Smallest difference between the best and the second log probability along the way. */
  readonly smallest_gap: number;
}

export const GOLDEN_CASES = golden.cases as unknown as readonly GoldenCase[];

/** Below this gap between the reference's two best log probabilities, rounding may decide which token is chosen. */
export const DECIDED_GAP = 1e-3;

const BATCH_SEQUENCES = 16;
const SHORT_TOKENS = 22;

/** Prompts for one batch, all of them decided by more than rounding, whose answers are short and end at much the same time. */
export const GOLDEN_BATCH = GOLDEN_CASES.filter(
  (known) => known.smallest_gap > 10 * DECIDED_GAP && known.generated_ids.length <= SHORT_TOKENS,
).slice(0, BATCH_SEQUENCES);
