import { seededRandom } from '../../../../shared/placement/seeded-random.ts';
import { SPECIAL_TOKENS } from '../../model/tokenizer-json.ts';

/**
 * Random tokens, a row per sequence, so that routing is spread as among unrelated requests. The tokens of sequence s leave the
 * remainder s when divided by the number of sequences: by that the peer's batches are sorted (peer-context.ts).
 *
 * @returns `[sequences][length]` token ids, none of them special
 */
export function randomTokens(
  vocabularySize: number,
  sequences: number,
  length: number,
  seed: number,
): number[][] {
  const random = seededRandom(seed);
  const perSequence = Math.floor((vocabularySize - SPECIAL_TOKENS.length) / sequences);
  return Array.from({ length: sequences }, (_, sequence) =>
    Array.from({ length }, () => sequences * Math.floor(random() * perSequence) + sequence),
  );
}
