import { JanusError } from '../../shared/errors/janus-error.ts';
import { BLOCK_TOKENS } from '../../shared/prefix/block-key.ts';
import { NO_BLOCK, PrefixIndex } from '../../shared/prefix/prefix-index.ts';
import type { PrefixCacheRecord } from '../../shared/protocol/member.ts';
import type { KvCache } from './kv-cache.ts';
import type { FloatAllocator } from './slot-buffers.ts';

/** Bound of the keys and values that one attention instance keeps beyond their sequences, unless it is told otherwise. */
export const DEFAULT_PREFIX_CACHE_BYTES = 256 * 2 ** 20;

export interface PrefixCacheOptions {
  readonly cache: KvCache;
  /** Bound of the memory for keys and values; what finds them takes some 300 bytes per block besides. */
  readonly maxBytes: number;
  /**
   * True where a row that is the only one of its sequence in a step comes out bit by bit as it would beside others, which
   * makes answers as good as prompts to go on from. ONNX Runtime's attention is not like that: it multiplies a single
   * query in another order, and the last bits differ. Default false: such rows are not kept, nor those behind them.
   */
  readonly exactSingleRows?: boolean;
  /** Gives blocks their memory. */
  readonly allocate?: FloatAllocator;
}

/**
 * Keys and values of sequences' beginnings, kept in blocks beyond the sequences that computed them, so that a sequence
 * which begins with the same tokens goes on behind them.
 *
 * Blocks are copied between this cache and a sequence's slot. Sharing them by reference would save the copy, which takes
 * a thousandth of the time that computing takes, but a slot's keys are one contiguous buffer per layer, and that is what
 * lets attention read them in place. Since a copy is done when a call returns, no block is in use between calls, and any
 * of them may be evicted.
 *
 * What a sequence goes on from is bit by bit what it would have computed: a row depends on the tokens up to it, not on how
 * a prompt was cut into chunks or what else was in the batch (but see `exactSingleRows`).
 */
export class PrefixCache {
  readonly #cache: KvCache;
  readonly #index: PrefixIndex;
  readonly #allocate: FloatAllocator;
  /** Per block `[layers, 2, BLOCK_TOKENS, words]`, made when first needed. */
  readonly #blocks: Float32Array[] = [];
  readonly #blockFloats: number;
  /** Chain of the sequence at hand. */
  readonly #path: Int32Array;
  /** Per slot the tokens from its beginning on whose rows may be kept. */
  readonly #exact: Int32Array;
  readonly #exactSingleRows: boolean;
  readonly #maxBytes: number;
  /** Per slot 1 where kept tokens were looked for since the slot's last rows: the next ones are those that were not found. */
  readonly #lookedUp: Uint8Array;
  #hits = 0;
  #hitTokens = 0;
  #missTokens = 0;

  /** @throws JanusError when `maxBytes` does not hold one block */
  constructor(options: PrefixCacheOptions) {
    const { cache, maxBytes, exactSingleRows = false } = options;
    const { slots, layers, contextLength } = cache.shape;
    this.#cache = cache;
    this.#allocate = options.allocate ?? ((floats) => new Float32Array(floats));
    this.#exactSingleRows = exactSingleRows;
    this.#exact = new Int32Array(slots);
    this.#lookedUp = new Uint8Array(slots);
    this.#maxBytes = maxBytes;
    this.#blockFloats = layers * 2 * BLOCK_TOKENS * cache.rowWords;
    const capacity = Math.floor(maxBytes / this.#blockBytes);
    if (!(capacity >= 1)) {
      throw new JanusError(
        `A prefix cache of ${maxBytes} bytes holds no block: ${BLOCK_TOKENS} tokens of this model take ` +
          `${this.#blockBytes} bytes. Raise --prefix-cache-mib, or set it to 0 to keep no prefixes.`,
      );
    }
    this.#index = new PrefixIndex(capacity);
    this.#path = new Int32Array(Math.ceil(contextLength / BLOCK_TOKENS));
  }

  get statistics(): PrefixCacheRecord {
    const { size, evictions } = this.#index;
    return {
      hits: this.#hits,
      hitTokens: this.#hitTokens,
      missTokens: this.#missTokens,
      blocks: size,
      evictions,
      bytes: size * this.#blockBytes,
      maxBytes: this.#maxBytes,
    };
  }

  /**
   * Continues the sequence in `slot` with what is kept of it, but for its end, which is computed in any case: its last token,
   * since logits are needed, and the one before where it may not be computed alone.
   *
   * @param tokens all of the sequence's tokens, those in the slot included
   * @returns number of tokens that became complete in the slot
   */
  restore(slot: number, tokens: ArrayLike<number>): number {
    const from = this.#cache.length(slot);
    if (from === 0) this.#exact[slot] = 0;
    this.#lookedUp[slot] = 1;
    const depth = this.#index.match(tokens, this.#path.length, this.#path);
    const end = Math.min(depth * BLOCK_TOKENS, tokens.length - (this.#exactSingleRows ? 1 : 2));
    if (end <= from) return 0;
    this.#index.touch(this.#path, depth);
    for (let at = from; at < end; at = this.#cache.length(slot)) {
      const position = Math.floor(at / BLOCK_TOKENS);
      const start = position * BLOCK_TOKENS;
      const block = this.#blocks[this.#path[position]];
      this.#cache.appendBlock(slot, block, at - start, Math.min(BLOCK_TOKENS, end - start));
    }
    if (this.#exact[slot] === from) this.#exact[slot] = end;
    this.#hits++;
    this.#hitTokens += end - from;
    return end - from;
  }

  /**
   * Keeps what the sequence in `slot` completed by the `rows` tokens that were computed last. To be called after each step.
   *
   * @param tokens of the sequence, at least those that are complete in the slot
   */
  store(slot: number, tokens: ArrayLike<number>, rows: number): void {
    const length = this.#cache.length(slot);
    const before = length - rows;
    if (this.#lookedUp[slot] === 1) this.#missTokens += rows;
    this.#lookedUp[slot] = 0;
    if (before === 0) this.#exact[slot] = 0;
    if (this.#exact[slot] !== before || (rows === 1 && !this.#exactSingleRows)) return;
    this.#exact[slot] = length;
    if (length % BLOCK_TOKENS < rows) this.#storeBlocks(slot, tokens, Math.floor(length / BLOCK_TOKENS));
  }

  /** Keeps the first `complete` blocks of a sequence, as far as they are not kept yet. */
  #storeBlocks(slot: number, tokens: ArrayLike<number>, complete: number): void {
    const index = this.#index;
    const path = this.#path;
    let depth = index.match(tokens, complete, path);
    index.touch(path, depth);
    for (; depth < complete; depth++) {
      const from = depth * BLOCK_TOKENS;
      if (!this.#isFinite(slot, from)) return;
      this.#makeRoom();
      const block = index.insert(depth === 0 ? NO_BLOCK : path[depth - 1], tokens, from);
      if (block === NO_BLOCK) return;
      this.#cache.copyBlock(slot, from, this.#blocks[block]);
      path[depth] = block;
    }
  }

  get #blockBytes(): number {
    return this.#blockFloats * Float32Array.BYTES_PER_ELEMENT;
  }

  /** Allocates the next block's memory. A machine that has no more goes on with the blocks that there are. */
  #makeRoom(): void {
    const { size, capacity } = this.#index;
    if (size < this.#blocks.length || size === capacity) return;
    try {
      this.#blocks.push(this.#allocate(this.#blockFloats));
    } catch {
      this.#index.stopGrowing();
    }
  }

  /**
   * Whether 64 tokens from `from` on are sound. A number that is not finite, from an expert that failed, fails the
   * sequence that met it; kept, it would fail every later one. Within a row it spreads to all later layers, so the last
   * layer tells.
   */
  #isFinite(slot: number, from: number): boolean {
    return this.#cache.areFinite(slot, this.#cache.shape.layers - 1, from, BLOCK_TOKENS);
  }
}
