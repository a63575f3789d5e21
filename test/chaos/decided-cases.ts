import golden from '../golden/dictionary-moe.json' with { type: 'json' };
import { DECIDED_GAP } from '../support/golden.ts';

/** Questions whose answers come to an end, and are decided by more than rounding, with what the reference answers. */
export const DECIDED_CASES: readonly { readonly question: string; readonly text: string }[] =
  golden.cases.filter((known) => known.finished && known.smallest_gap > 10 * DECIDED_GAP);
