import { JanusError } from '../errors/janus-error.ts';
import { BLOCK_TOKENS, blockKey, ROOT_KEY } from './block-key.ts';

/** No block: the parent of a first block, and the answer where there is no room. */
export const NO_BLOCK = -1;

/**
 * Which prefixes are kept, as a tree of blocks of `BLOCK_TOKENS` token ids, and which of them goes next. It knows nothing
 * of keys and values: a block is a number from 0 to `capacity` − 1, under which its owner keeps what it likes.
 *
 * Blocks are found by a chained hash and then compared by ids and parent, so that a collision of hashes can only cost a
 * hit, never give a wrong one (automatic prefix caching as in vLLM: Kwon et al., "Efficient Memory Management for Large
 * Language Model Serving with PagedAttention", SOSP 2023).
 *
 * The least recently used block goes first, and in the order of use a block always comes behind its parent: the last one
 * has no children. That order is all it takes to evict leaves before their parents and never to lose the middle of a
 * chain.
 *
 * Memory is taken once, about 300 bytes per block.
 */
export class PrefixIndex {
  #capacity: number;
  readonly #keyOf: typeof blockKey;
  readonly #byKey = new Map<number, number>();
  /** Per block: hash, parent, and its ids `[capacity, BLOCK_TOKENS]`. */
  readonly #keys: Float64Array;
  readonly #parents: Int32Array;
  readonly #ids: Int32Array;
  /** The order of use as a list in both directions. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  #newest = NO_BLOCK;
  #oldest = NO_BLOCK;
  #size = 0;
  #evictions = 0;

  /**
   * @param capacity largest number of blocks, at least 1
   * @param keyOf hash of a block
   * @throws JanusError when `capacity` is not a positive integer
   */
  constructor(capacity: number, keyOf: typeof blockKey = blockKey) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new JanusError(`The prefix index's capacity is ${capacity}: give a whole number of at least 1.`);
    }
    this.#capacity = capacity;
    this.#keyOf = keyOf;
    this.#keys = new Float64Array(capacity);
    this.#parents = new Int32Array(capacity);
    this.#ids = new Int32Array(capacity * BLOCK_TOKENS);
    this.#newer = new Int32Array(capacity);
    this.#older = new Int32Array(capacity);
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** Number of blocks that are kept. Blocks are numbered in the order in which they were first needed. */
  get size(): number {
    return this.#size;
  }

  /** Blocks that made way for others since the start. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Allows no more blocks than there are now, for an owner that has no memory for more. */
  stopGrowing(): void {
    this.#capacity = this.#size;
  }

  /**
   * Looks up the longest kept chain of whole blocks that `tokens` begin with. Changes nothing.
   *
   * @param blocks largest number of blocks to look for
   * @param path written: the chain, first block first
   * @returns its number of blocks
   */
  match(tokens: ArrayLike<number>, blocks: number, path: Int32Array): number {
    const most = Math.min(blocks, path.length, Math.floor(tokens.length / BLOCK_TOKENS));
    let parent = NO_BLOCK;
    for (let depth = 0; depth < most; depth++) {
      const from = depth * BLOCK_TOKENS;
      const block = this.#byKey.get(this.#keyOf(this.#keyBefore(parent), tokens, from));
      if (block === undefined || this.#parents[block] !== parent || !this.#holds(block, tokens, from)) {
        return depth;
      }
      path[depth] = block;
      parent = block;
    }
    return most;
  }

  /** Makes the first `depth` blocks of a chain that `match` found the most recently used, a parent before its child. */
  touch(path: Int32Array, depth: number): void {
    for (let i = depth - 1; i >= 0; i--) {
      this.#unlink(path[i]);
      this.#linkBehind(NO_BLOCK, path[i]);
    }
  }

  /**
   * Adds the block of ids that starts at `tokens[from]`, as recently used as its parent. Where the index is full, the
   * least recently used block makes way and its number is used again.
   *
   * @param parent the block before, which is kept; `NO_BLOCK` for a sequence's first
   * @returns the block's number; `NO_BLOCK` where only the parent could make way, or another block has the same hash
   */
  insert(parent: number, tokens: ArrayLike<number>, from: number): number {
    const key = this.#keyOf(this.#keyBefore(parent), tokens, from);
    if (this.#byKey.has(key)) return NO_BLOCK;
    const block = this.#size < this.#capacity ? this.#size++ : this.#evict(parent);
    if (block === NO_BLOCK) return NO_BLOCK;
    this.#byKey.set(key, block);
    this.#keys[block] = key;
    this.#parents[block] = parent;
    for (let i = 0; i < BLOCK_TOKENS; i++) this.#ids[block * BLOCK_TOKENS + i] = tokens[from + i];
    this.#linkBehind(parent, block);
    return block;
  }

  #keyBefore(parent: number): number {
    return parent === NO_BLOCK ? ROOT_KEY : this.#keys[parent];
  }

  #holds(block: number, tokens: ArrayLike<number>, from: number): boolean {
    const first = block * BLOCK_TOKENS;
    for (let i = 0; i < BLOCK_TOKENS; i++) {
      if (this.#ids[first + i] !== tokens[from + i]) return false;
    }
    return true;
  }

  /** The oldest block, which has no children, is forgotten; unless it is `needed`. */
  #evict(needed: number): number {
    const block = this.#oldest;
    if (block === needed) return NO_BLOCK;
    this.#unlink(block);
    this.#byKey.delete(this.#keys[block]);
    this.#evictions++;
    return block;
  }

  #unlink(block: number): void {
    const newer = this.#newer[block];
    const older = this.#older[block];
    if (newer === NO_BLOCK) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NO_BLOCK) this.#oldest = newer;
    else this.#newer[older] = newer;
  }

  /** Puts a block into the order of use, directly behind `newer`, or in front of all. */
  #linkBehind(newer: number, block: number): void {
    const older = newer === NO_BLOCK ? this.#newest : this.#older[newer];
    this.#newer[block] = newer;
    this.#older[block] = older;
    if (newer === NO_BLOCK) this.#newest = block;
    else this.#older[newer] = block;
    if (older === NO_BLOCK) this.#oldest = block;
    else this.#newer[older] = block;
  }
}
