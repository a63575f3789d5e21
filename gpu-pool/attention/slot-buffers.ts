import { JanusError } from '../../shared/errors/janus-error.ts';

/** There is no memory for another sequence's keys and values now; there may be when one of those that run has ended. */
export class CacheMemoryError extends JanusError {}

/** Gives memory for so many numbers. @throws when there is none */
export type FloatAllocator = (floats: number) => Float32Array;

/** Buffers are sized in multiples of this many tokens, so that sequences of similar length can use the same one. */
export const GRANULE_TOKENS = 64;
const BYTES_PER_WORD = 4;

export interface SlotBuffersShape {
  readonly slots: number;
  readonly layers: number;
  /** 32-bit words of a kept row of keys, or of values. */
  readonly rowWords: number;
  /** Largest number of tokens of one slot. */
  readonly contextLength: number;
}

/** The memory of a KV cache. A slot keeps its buffers until it needs larger ones, or another slot finds no memory. */
export class SlotBuffers {
  /** [slot][layer] → `[tokens, words]`, of at least as many tokens as the slot was made to hold. */
  readonly keys: readonly Float32Array[][];
  readonly values: readonly Float32Array[][];
  readonly bytesPerToken: number;
  readonly #shape: SlotBuffersShape;
  readonly #allocate: FloatAllocator;
  readonly #free: (buffer: Float32Array) => void;
  /** Tokens that a slot's buffers hold. */
  readonly #tokens: Int32Array;

  /** @param free takes the memory of buffers that were replaced */
  constructor(shape: SlotBuffersShape, allocate: FloatAllocator, free: (buffer: Float32Array) => void) {
    const { slots, layers, rowWords } = shape;
    this.#shape = shape;
    this.#allocate = allocate;
    this.#free = free;
    this.bytesPerToken = layers * rowWords * 2 * BYTES_PER_WORD;
    this.keys = Array.from({ length: slots }, () => []);
    this.values = Array.from({ length: slots }, () => []);
    this.#tokens = new Int32Array(slots);
  }

  /** Bytes of all buffers. */
  get bytes(): number {
    return this.#tokens.reduce((sum, tokens) => sum + tokens, 0) * this.bytesPerToken;
  }

  /** The free slot with the smallest buffers that suffice; without one, that with the largest, which has least to add. */
  bestSlot(tokens: number, isFree: (slot: number) => boolean): number {
    let best = -1;
    for (const [slot, held] of this.#tokens.entries()) {
      if (!isFree(slot)) continue;
      const bestHeld = best < 0 ? -1 : this.#tokens[best];
      const better = bestHeld >= tokens ? held >= tokens && held < bestHeld : held > bestHeld;
      if (better) best = slot;
    }
    return best;
  }

  /**
   * Sees to it that a free slot's buffers hold so many tokens.
   *
   * @throws CacheMemoryError if there is no memory for it, also when free slots have given theirs up
   */
  hold(slot: number, leastTokens: number, isFree: (slot: number) => boolean): void {
    if (this.#tokens[slot] >= leastTokens) return;
    const { slots, contextLength } = this.#shape;
    const tokens = Math.min(Math.ceil(leastTokens / GRANULE_TOKENS) * GRANULE_TOKENS, contextLength);
    // The old buffers go first, so that at no time more than every slot at full length is in use.
    this.#giveBack(slot);
    try {
      this.#allocateSlot(slot, tokens);
    } catch {
      // What free slots keep for later is needed now.
      for (let other = 0; other < slots; other++) if (isFree(other)) this.#giveBack(other);
      try {
        this.#allocateSlot(slot, tokens);
      } catch (cause) {
        this.#giveBack(slot);
        const megabytes = Math.ceil((tokens * this.bytesPerToken) / 2 ** 20);
        throw new CacheMemoryError(
          `No memory for a KV cache of ${megabytes} MiB for one sequence: shorten the prompt or lower max_tokens.`,
          { cause },
        );
      }
    }
    this.#tokens[slot] = tokens;
  }

  #allocateSlot(slot: number, tokens: number): void {
    const { layers, rowWords } = this.#shape;
    for (let layer = 0; layer < layers; layer++) {
      this.keys[slot].push(this.#allocate(tokens * rowWords));
      this.values[slot].push(this.#allocate(tokens * rowWords));
    }
  }

  #giveBack(slot: number): void {
    this.#tokens[slot] = 0;
    for (const buffers of [this.keys[slot], this.values[slot]]) {
      for (const buffer of buffers.splice(0)) this.#free(buffer);
    }
  }
}
