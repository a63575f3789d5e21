import { JanusError } from '../../shared/errors/janus-error.ts';

const BYTES_PER_FLOAT = 4;

/** Bytes that a buffer of so many floats takes: 2^n units. */
export function cacheBufferBytes(floats: number, unitBytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, (floats * BYTES_PER_FLOAT) / unitBytes))) * unitBytes;
}

/**
 * Memory for the KV cache inside kernel memory, where the kernels read it in place: a buddy allocator. A buffer that is given
 * back joins the free one beside it, so that after any history n buffers of the largest size have room in n times its bytes.
 */
export class CacheRegion {
  readonly #buffer: ArrayBufferLike;
  readonly #base: number;
  readonly #bytes: number;
  readonly #unitBytes: number;
  /** Starts of free blocks by their bytes, counted from the beginning of the region. */
  readonly #free = new Map<number, Set<number>>();

  /**
   * @param offset a multiple of 4
   * @param unitBytes of the smallest buffers, which all larger ones are 2^n times as large as; a multiple of 4
   */
  constructor(buffer: ArrayBufferLike, offset: number, bytes: number, unitBytes: number) {
    this.#buffer = buffer;
    this.#base = offset;
    this.#bytes = bytes;
    this.#unitBytes = unitBytes;
    let size = unitBytes * 2 ** Math.floor(Math.log2(Math.max(1, bytes / unitBytes)));
    for (let start = 0; size >= unitBytes; size /= 2) {
      if (start + size > bytes) continue;
      this.#blocks(size).add(start);
      start += size;
    }
  }

  /** @throws JanusError when there is no room left */
  allocate(floats: number): Float32Array {
    const size = cacheBufferBytes(floats, this.#unitBytes);
    let found = size;
    while (found <= this.#bytes && this.#blocks(found).size === 0) found *= 2;
    const [start] = this.#blocks(found);
    if (start === undefined) {
      throw new JanusError(
        `The KV cache's ${this.#bytes} bytes of kernel memory have no room for ${size} more.`,
      );
    }
    this.#blocks(found).delete(start);
    for (let rest = found / 2; rest >= size; rest /= 2) this.#blocks(rest).add(start + rest);
    return new Float32Array(this.#buffer, this.#base + start, floats);
  }

  /** Takes back what `allocate` gave. */
  free(floats: Float32Array): void {
    let size = cacheBufferBytes(floats.length, this.#unitBytes);
    let start = floats.byteOffset - this.#base;
    for (let buddy = this.#buddyOf(start, size); this.#blocks(size).delete(buddy); ) {
      start = Math.min(start, buddy);
      size *= 2;
      buddy = this.#buddyOf(start, size);
    }
    this.#blocks(size).add(start);
  }

  /** Blocks start at multiples of their size, so that two halves of one differ in one bit. */
  #buddyOf(start: number, size: number): number {
    return Math.floor(start / size) % 2 === 0 ? start + size : start - size;
  }

  #blocks(size: number): Set<number> {
    const known = this.#free.get(size);
    if (known !== undefined) return known;
    const blocks = new Set<number>();
    this.#free.set(size, blocks);
    return blocks;
  }
}
