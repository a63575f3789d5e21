/** The tokens that may come next in an answer. */
export interface AllowedTokens {
  /** One bit per token id, in words of 32. */
  readonly words: Uint32Array;
  /** Ids that are allowed besides. */
  readonly endIds: readonly number[];
}

const WORD_BITS = 32;
const ALL = 0xffff_ffff;

export const wordsFor = (vocabularySize: number): number => Math.ceil(vocabularySize / WORD_BITS);

export function allowToken(words: Uint32Array, id: number): void {
  words[id >>> 5] |= 1 << (id & 31);
}

/**
 * Copies the logits of allowed tokens and gives all others -Infinity.
 *
 * @param logits `[V]`
 * @param out `[V]`, written
 */
export function copyAllowed(logits: Float32Array, { words, endIds }: AllowedTokens, out: Float32Array): void {
  out.set(logits);
  for (let word = 0; word < words.length; word++) {
    const bits = words[word];
    if (bits === ALL) continue;
    const first = word * WORD_BITS;
    const end = Math.min(first + WORD_BITS, out.length);
    if (bits === 0) {
      out.fill(Number.NEGATIVE_INFINITY, first, end);
      continue;
    }
    for (let id = first; id < end; id++) {
      if (((bits >>> (id - first)) & 1) === 0) out[id] = Number.NEGATIVE_INFINITY;
    }
  }
  for (const id of endIds) out[id] = logits[id];
}
