import type { Automaton, TextState } from '../../../shared/constrained/automaton.ts';
import { allowToken } from '../sampling/allowed-tokens.ts';

/**
 * Work for one mask, in readings of the states that are met: once for each state, and a share of it for each way there. About as
 * much takes a few milliseconds, and no step of a host may last much longer for one request's schema.
 */
const MAX_MASK_WORK = 16_384;
const STATE_WORK = 8;
const WAY_SHARE = 1 / 8;

/** What a trie needs of a vocabulary. */
export interface TrieVocabulary {
  /** Largest token id + 1. */
  readonly size: number;
  /** The bytes of a token; empty where it adds no text, and then it is never allowed. */
  readonly bytesOf: (id: number) => Uint8Array;
}

/**
 * The bytes of all tokens as a tree, so that a byte that several tokens begin with is followed once. Nodes lie in the order of
 * a walk: a node's children behind it, and behind those its next sibling.
 */
export class TokenTrie {
  /** Per node: its byte, its number of bytes from the root on, and the node behind all below it. */
  readonly #bytes: Uint8Array;
  readonly #depths: Uint16Array;
  readonly #behind: Int32Array;
  /** The tokens that end at node n are `#tokens` from `#first[n]` to `#first[n + 1]`. */
  readonly #first: Int32Array;
  readonly #tokens: Int32Array;
  /** States along the branch that is walked, by depth; kept for their memory. */
  readonly #branch: (TextState | null)[];

  constructor({ size, bytesOf }: TrieVocabulary) {
    const tokens = Array.from({ length: size }, (_, id) => ({ id, text: bytesOf(id) }))
      .filter(({ text }) => text.length > 0)
      .sort((a, b) => Buffer.compare(a.text, b.text));
    const bytes: number[] = [];
    const depths: number[] = [];
    const behind: number[] = [];
    const nodeOfToken: number[] = [];
    const branch: number[] = [];
    let before: Uint8Array = new Uint8Array();
    for (const { text } of tokens) {
      const common = commonLength(before, text);
      while (branch.length > common) behind[branch.pop()!] = bytes.length;
      for (let depth = common; depth < text.length; depth++) {
        branch.push(bytes.length);
        bytes.push(text[depth]);
        depths.push(depth + 1);
      }
      nodeOfToken.push(branch.at(-1)!);
      before = text;
    }
    for (const node of branch) behind[node] = bytes.length;
    this.#bytes = Uint8Array.from(bytes);
    this.#depths = Uint16Array.from(depths);
    this.#behind = Int32Array.from(behind);
    this.#tokens = Int32Array.from(tokens, ({ id }) => id);
    this.#first = new Int32Array(bytes.length + 1);
    for (const node of nodeOfToken) this.#first[node + 1]++;
    for (let node = 0; node < bytes.length; node++) this.#first[node + 1] += this.#first[node];
    this.#branch = new Array<TextState | null>(1 + this.#depths.reduce((a, b) => Math.max(a, b), 0)).fill(
      null,
    );
  }

  /**
   * Sets the bits of the tokens by which a text can go on. Where following all of them would take too long, only the shortest
   * ones are allowed, of which every text can be made: what is taken fits all the same. Which ones these are depends on the
   * state alone, on every host.
   *
   * @param words one bit per token id, all 0
   * @returns number of these tokens
   */
  allow(automaton: Automaton, state: TextState, words: Uint32Array): number {
    const longest = this.#branch.length - 1;
    let count = this.#walk(automaton, state, words, { deepest: longest, mostWork: MAX_MASK_WORK });
    for (let deepest = 1; count === undefined; deepest++) {
      words.fill(0);
      const shorter = this.#walk(automaton, state, words, { deepest, mostWork: Number.POSITIVE_INFINITY });
      if (shorter === undefined || shorter > 0 || deepest >= longest) count = shorter ?? 0;
    }
    this.#branch.fill(null);
    return count;
  }

  /** @returns undefined where it would be more work */
  #walk(
    automaton: Automaton,
    state: TextState,
    words: Uint32Array,
    { deepest, mostWork }: { readonly deepest: number; readonly mostWork: number },
  ): number | undefined {
    const branch = this.#branch;
    branch[0] = state;
    let work = 0;
    let count = 0;
    automaton.beginTour();
    for (let node = 0; node < this.#bytes.length; ) {
      const depth = this.#depths[node];
      const reached = automaton.next(branch[depth - 1]!, this.#bytes[node]);
      if (reached === null) {
        node = this.#behind[node];
        continue;
      }
      work += reached.readings * WAY_SHARE;
      if (automaton.isNewInTour(reached)) work += reached.readings + STATE_WORK;
      if (work > mostWork) return undefined;
      branch[depth] = reached;
      for (let i = this.#first[node]; i < this.#first[node + 1]; i++) allowToken(words, this.#tokens[i]);
      count += this.#first[node + 1] - this.#first[node];
      node = depth < deepest ? node + 1 : this.#behind[node];
    }
    return count;
  }
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  let common = 0;
  while (common < a.length && common < b.length && a[common] === b[common]) common++;
  return common;
}
