import type { Automaton, TextState } from '../../../shared/constrained/automaton.ts';
import { wordsFor } from '../sampling/allowed-tokens.ts';
import { TokenTrie, type TrieVocabulary } from './token-trie.ts';

/** Memory that kept masks may take, and their number, within which it may not be less than `LEAST_MASKS`. */
const MAX_MASK_BYTES = 16 * 2 ** 20;
const LEAST_MASKS = 16;
const MOST_MASKS = 4_096;

/** The tokens by which a text can go on. */
export interface TokenMask {
  /** One bit per token id, in words of 32. Not to be written. */
  readonly words: Uint32Array;
  readonly count: number;
}

/** Masks of a vocabulary; those used last are kept by the state that they belong to. */
export class TokenMasks {
  readonly #trie: TokenTrie;
  readonly #words: number;
  readonly #most: number;
  /** The least recently used one first. */
  readonly #kept = new Map<TextState, TokenMask>();

  constructor(vocabulary: TrieVocabulary) {
    this.#trie = new TokenTrie(vocabulary);
    this.#words = wordsFor(vocabulary.size);
    const room = Math.floor(MAX_MASK_BYTES / (4 * this.#words));
    this.#most = Math.min(MOST_MASKS, Math.max(LEAST_MASKS, room));
  }

  get kept(): number {
    return this.#kept.size;
  }

  /** @param state one of `automaton` */
  of(automaton: Automaton, state: TextState): TokenMask {
    const known = this.#kept.get(state);
    if (known !== undefined) this.#kept.delete(state);
    const mask = known ?? this.#compute(automaton, state);
    this.#kept.set(state, mask);
    if (this.#kept.size > this.#most) this.#kept.delete(this.#kept.keys().next().value!);
    return mask;
  }

  #compute(automaton: Automaton, state: TextState): TokenMask {
    const words = new Uint32Array(this.#words);
    return { count: this.#trie.allow(automaton, state, words), words };
  }
}
