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
