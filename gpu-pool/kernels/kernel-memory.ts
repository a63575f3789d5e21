import { JanusError } from '../../shared/errors/janus-error.ts';

const PAGE_BYTES = 65_536;
/** Most pages that a WebAssembly memory with 32-bit addresses can have: 4 GiB. */
const MAXIMUM_PAGES = 65_536;
/** A cache line, so that what two threads write never shares one. */
const ALIGNMENT = 64;
/** The kernels take address 0 for "absent" and want nothing below this. */
const FIRST_OFFSET = 1024;
/** Memory grows by at least this many pages (16 MiB): each growth is a system call and makes new views necessary. */
const GROWTH_PAGES = 256;

/**
 * The one shared memory of a host's kernels and who owns what in it. Only the thread that made it allocates; other threads
 * get `memory` and offsets. Freed ranges are kept by size and given to the next request of that size: what comes and goes
 * are experts, all of one size.
 */
export class KernelMemory {
  readonly memory: WebAssembly.Memory;
  readonly #maximumBytes: number;
  /** Offsets of freed ranges, by their size. */
  readonly #free = new Map<number, number[]>();
  #end = FIRST_OFFSET;
  #freeBytes = 0;

  /**
   * @param maximumBytes up to which the memory may grow, at most 4 GiB
   * @throws JanusError if `maximumBytes` is out of range or the machine does not have the address space.
   */
  constructor(maximumBytes: number = MAXIMUM_PAGES * PAGE_BYTES) {
    const maximum = Math.ceil(maximumBytes / PAGE_BYTES);
    if (!(maximum >= 1 && maximum <= MAXIMUM_PAGES)) {
      throw new JanusError(`a kernel memory of ${maximumBytes} bytes is outside 1 byte … 4 GiB`);
    }
    this.#maximumBytes = maximum * PAGE_BYTES;
    try {
      this.memory = new WebAssembly.Memory({ initial: 1, maximum, shared: true });
    } catch (error) {
      throw new JanusError(`no address space for a kernel memory of ${mebibytes(this.#maximumBytes)}`, {
        cause: error,
      });
    }
  }

  /** Bytes that are allocated and not freed. */
  get allocatedBytes(): number {
    return this.#end - FIRST_OFFSET - this.#freeBytes;
  }

  /**
   * Offset of `bytes` bytes, 64-byte aligned. What lies there is arbitrary. Growing makes existing views too short for
   * what is new, but they stay valid for what they show.
   * @throws JanusError if the memory is full.
   */
  allocate(bytes: number): number {
    const size = roundedSize(bytes);
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) {
      this.#freeBytes -= size;
      return reused;
    }
    const offset = this.#end;
    this.#growTo(offset + size);
    this.#end = offset + size;
    return offset;
  }

  /** Gives a range back; `bytes` must be what it was allocated with. */
  free(offset: number, bytes: number): void {
    const size = roundedSize(bytes);
    const offsets = this.#free.get(size);
    if (offsets === undefined) this.#free.set(size, [offset]);
    else offsets.push(offset);
    this.#freeBytes += size;
  }

  /** View of `length` floats at `offset`. */
  floats(offset: number, length: number): Float32Array<SharedArrayBuffer> {
    return new Float32Array(this.memory.buffer, offset, length);
  }

  /** View of `length` 32-bit integers at `offset`. */
  integers(offset: number, length: number): Int32Array<SharedArrayBuffer> {
    return new Int32Array(this.memory.buffer, offset, length);
  }

  /** View of `length` bytes at `offset`. */
  bytes(offset: number, length: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.memory.buffer, offset, length);
  }

  #growTo(end: number): void {
    const current = this.memory.buffer.byteLength;
    if (end <= current) return;
    if (end > this.#maximumBytes) {
      throw new JanusError(
        `the kernel memory is full: ${mebibytes(this.allocatedBytes)} of ${mebibytes(this.#maximumBytes)} are in use, ` +
          `${mebibytes(end - current)} more are needed; hold fewer experts per host, a shorter context or int4 weights`,
      );
    }
    const needed = Math.ceil((end - current) / PAGE_BYTES);
    const left = (this.#maximumBytes - current) / PAGE_BYTES;
    try {
      this.memory.grow(Math.min(Math.max(needed, GROWTH_PAGES), left));
    } catch (error) {
      throw new JanusError(`the machine has no memory to grow the kernel memory to ${mebibytes(end)}`, {
        cause: error,
      });
    }
  }
}

function roundedSize(bytes: number): number {
  if (!(bytes >= 0)) throw new JanusError(`cannot allocate ${bytes} bytes of kernel memory`);
  return Math.max(Math.ceil(bytes / ALIGNMENT), 1) * ALIGNMENT;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
