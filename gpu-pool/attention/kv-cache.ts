import { JanusError } from '../../shared/errors/janus-error.ts';
import { type CacheRows, plainRows } from './cache-rows.ts';
import { type FloatAllocator, SlotBuffers } from './slot-buffers.ts';

export interface KvCacheShape {
  /** Largest number of sequences at once. */
  readonly slots: number;
  readonly layers: number;
  /** Width of one token's keys in one layer: key-value heads × head size. */
  readonly kvWidth: number;
  /** Largest number of tokens of one sequence. */
  readonly contextLength: number;
}

export interface KvCacheOptions {
  /** Gives the buffers their memory, for instance memory that threads share. */
  readonly allocate?: FloatAllocator;
  /** Takes the memory of buffers that were replaced. */
  readonly free?: (buffer: Float32Array) => void;
  /** The form in which rows are kept; default: as they are. */
  readonly rows?: CacheRows;
}

/**
 * Keys and values of the running sequences: per slot and layer one token-major buffer `[capacity, words]` for each, of
 * which attention reads the first `length` rows in place. `words` is `kvWidth` where rows are kept as they are.
 *
 * One step of a sequence: `append` its rows in every layer, read `keys(slot, layer, rows)` there, and `advance` once at
 * the end. A step that is given up and redone before `advance` overwrites its own rows.
 *
 * A slot keeps its buffers when it is released, and gives them up for larger ones, or where another slot finds no memory.
 */
export class KvCache {
  readonly shape: KvCacheShape;
  readonly slots: number;
  /** Bound of `bytesInUse`: every slot at full context length. */
  readonly maxBytes: number;
  readonly #layers: number;
  readonly #rows: CacheRows;
  readonly #contextLength: number;
  readonly #buffers: SlotBuffers;
  /** Tokens that the sequence in a slot was promised; 0: the slot is free. */
  readonly #capacity: Int32Array;
  readonly #length: Int32Array;
  #inUse = 0;

  constructor(shape: KvCacheShape, options: KvCacheOptions = {}) {
    const { slots, layers, kvWidth, contextLength } = shape;
    this.shape = shape;
    this.slots = slots;
    this.#layers = layers;
    this.#rows = options.rows ?? plainRows(kvWidth);
    this.#contextLength = contextLength;
    const { allocate = (floats) => new Float32Array(floats), free = () => {} } = options;
    const rowWords = this.#rows.words;
    this.#buffers = new SlotBuffers({ slots, layers, rowWords, contextLength }, allocate, free);
    this.maxBytes = slots * contextLength * this.#buffers.bytesPerToken;
    this.#capacity = new Int32Array(slots);
    this.#length = new Int32Array(slots);
  }

  /** 32-bit words of a kept row of keys, or of values. */
  get rowWords(): number {
    return this.#rows.words;
  }

  /** Number of slots that hold a sequence. */
  get inUse(): number {
    return this.#inUse;
  }

  /** Bytes of all buffers, those of free slots included. */
  get bytesInUse(): number {
    return this.#buffers.bytes;
  }

  /**
   * Takes a slot for a sequence that grows to at most `capacityTokens`, prompt and answer together.
   *
   * @returns the slot, of length 0; -1 if none is free
   * @throws JanusError if the sequence is longer than the context
   * @throws CacheMemoryError if there is no memory for it now
   */
  acquire(capacityTokens: number): number {
    if (!(Number.isInteger(capacityTokens) && capacityTokens >= 1 && capacityTokens <= this.#contextLength)) {
      throw new JanusError(
        `A sequence of ${capacityTokens} tokens does not fit the model's context of ${this.#contextLength}: shorten the prompt or lower max_tokens.`,
      );
    }
    const isFree = (slot: number): boolean => this.#capacity[slot] === 0;
    const slot = this.#buffers.bestSlot(capacityTokens, isFree);
    if (slot < 0) return -1;
    this.#buffers.hold(slot, capacityTokens, isFree);
    this.#capacity[slot] = capacityTokens;
    this.#length[slot] = 0;
    this.#inUse++;
    return slot;
  }

  /** Frees a slot. Views of it that are still held will show another sequence. */
  release(slot: number): void {
    this.#checkTaken(slot);
    this.#capacity[slot] = 0;
    this.#inUse--;
  }

  /** Number of tokens whose keys and values are complete in all layers. */
  length(slot: number): number {
    this.#checkTaken(slot);
    return this.#length[slot];
  }

  /**
   * Keeps rows `[sourceRow, sourceRow + rows)` of `keys` and `values`, both `[T, kvWidth]`, behind the sequence's
   * complete tokens.
   *
   * @throws RangeError if the slot's capacity or the source has fewer rows
   */
  append(
    slot: number,
    layer: number,
    keys: Float32Array,
    values: Float32Array,
    sourceRow: number,
    rows: number,
  ): void {
    this.#checkRoom(slot, rows);
    this.#checkLayer(layer);
    if (
      !(sourceRow >= 0 && (sourceRow + rows) * this.#rows.kvWidth <= Math.min(keys.length, values.length))
    ) {
      throw new RangeError(
        `Rows ${sourceRow} to ${sourceRow + rows} lie outside of the keys or values given.`,
      );
    }
    const length = this.#length[slot];
    this.#rows.store(keys, sourceRow, rows, this.#buffers.keys[slot][layer], length);
    this.#rows.store(values, sourceRow, rows, this.#buffers.values[slot][layer], length);
  }

  /** Makes the rows that were appended in every layer part of the sequence, once per step. */
  advance(slot: number, rows: number): void {
    this.#checkRoom(slot, rows);
    this.#length[slot] += rows;
  }

  /**
   * Copies the complete tokens from `firstToken` on into `block` `[layers, 2, tokens, words]` (keys, then values), as
   * many as it holds.
   *
   * @throws RangeError if the sequence has fewer complete tokens
   */
  copyBlock(slot: number, firstToken: number, block: Float32Array): void {
    this.#checkTaken(slot);
    const tokens = this.#blockTokens(block);
    if (!(firstToken >= 0 && firstToken + tokens <= this.#length[slot])) {
      throw new RangeError(
        `KV slot ${slot} has ${this.#length[slot]} complete tokens, not those from ${firstToken} to ${firstToken + tokens}.`,
      );
    }
    const from = firstToken * this.rowWords;
    const size = tokens * this.rowWords;
    for (let layer = 0; layer < this.#layers; layer++) {
      block.set(this.#buffers.keys[slot][layer].subarray(from, from + size), 2 * layer * size);
      block.set(this.#buffers.values[slot][layer].subarray(from, from + size), (2 * layer + 1) * size);
    }
  }

  /**
   * Makes tokens `[first, end)` of a block that `copyBlock` filled the sequence's next complete tokens.
   *
   * @throws RangeError if the slot's capacity or the block has fewer tokens
   */
  appendBlock(slot: number, block: Float32Array, first: number, end: number): void {
    this.#checkRoom(slot, end - first);
    const tokens = this.#blockTokens(block);
    if (!(first >= 0 && end <= tokens)) {
      throw new RangeError(`Tokens ${first} to ${end} lie outside of a block of ${tokens}.`);
    }
    const width = this.rowWords;
    const to = this.#length[slot] * width;
    for (let layer = 0; layer < this.#layers; layer++) {
      const keys = 2 * layer * tokens;
      const values = keys + tokens;
      this.#buffers.keys[slot][layer].set(block.subarray((keys + first) * width, (keys + end) * width), to);
      this.#buffers.values[slot][layer].set(
        block.subarray((values + first) * width, (values + end) * width),
        to,
      );
    }
    this.#length[slot] += end - first;
  }

  /** Whether the numbers of `tokens` complete tokens from `firstToken` on are finite in a layer. */
  areFinite(slot: number, layer: number, firstToken: number, tokens: number): boolean {
    const end = firstToken + tokens;
    return [this.keys(slot, layer), this.values(slot, layer)].every((rows) =>
      this.#rows.areFinite(rows, firstToken, end),
    );
  }

  /** View `[length + extraRows, words]` of a layer's keys; `extraRows`: those appended in the step in progress. */
  keys(slot: number, layer: number, extraRows = 0): Float32Array {
    return this.#view(this.#buffers.keys, slot, layer, extraRows);
  }

  /** As `keys`, of the values. */
  values(slot: number, layer: number, extraRows = 0): Float32Array {
    return this.#view(this.#buffers.values, slot, layer, extraRows);
  }

  #blockTokens(block: Float32Array): number {
    return Math.floor(block.length / (2 * this.#layers * this.rowWords));
  }

  #view(
    buffers: readonly (readonly Float32Array[])[],
    slot: number,
    layer: number,
    extraRows: number,
  ): Float32Array {
    this.#checkRoom(slot, extraRows);
    this.#checkLayer(layer);
    return buffers[slot][layer].subarray(0, (this.#length[slot] + extraRows) * this.rowWords);
  }

  #checkTaken(slot: number): void {
    if (!(this.#capacity[slot] > 0)) throw new RangeError(`KV slot ${slot} holds no sequence.`);
  }

  #checkRoom(slot: number, rows: number): void {
    this.#checkTaken(slot);
    const end = this.#length[slot] + rows;
    if (!(rows >= 0 && end <= this.#capacity[slot])) {
      throw new RangeError(
        `KV slot ${slot} was acquired for ${this.#capacity[slot]} tokens; ${end} do not fit.`,
      );
    }
  }

  #checkLayer(layer: number): void {
    if (!(layer >= 0 && layer < this.#layers)) {
      throw new RangeError(`Layer ${layer} is not one of the cache's ${this.#layers}.`);
    }
  }
}
