import { JanusError } from '../../../shared/errors/janus-error.ts';

const ALIGNMENT_BYTES = 64;

/**
 * A range of memory that is given out from its beginning to its end, and never taken back. One without a size only counts:
 * running the same allocations on it first tells how large the range has to be.
 */
export class Region {
  readonly #base: number;
  readonly #bytes: number;
  #used = 0;

  constructor(base = 0, bytes = Number.POSITIVE_INFINITY) {
    this.#base = base;
    this.#bytes = bytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Offset of `bytes` bytes on a cache line of their own. @throws JanusError when the region is too small */
  allocate(bytes: number): number {
    const offset = this.#base + this.#used;
    const end = this.#used + Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    if (end > this.#bytes) {
      throw new JanusError(
        `A region of ${this.#bytes} bytes of kernel memory has no room for ${bytes} more.`,
      );
    }
    this.#used = end;
    return offset;
  }
}
