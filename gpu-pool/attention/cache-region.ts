import { Region } from '../runtime/kernel/region.ts';

/** Buffers are of 2^n floats, at least so many, so that those that are given back fit what is asked for later. */
const SMALLEST_FLOATS = 1_024;

/** Memory for the KV cache inside kernel memory, where the kernels read it in place. */
export class CacheRegion {
  readonly #buffer: ArrayBufferLike;
  readonly #region: Region;
  /** Offsets of buffers that were given back, by their length. */
  readonly #free = new Map<number, number[]>();

  constructor(buffer: ArrayBufferLike, offset: number, bytes: number) {
    this.#buffer = buffer;
    this.#region = new Region(offset, bytes);
  }

  /** @throws JanusError when there is no room left */
  allocate(floats: number): Float32Array {
    const length = classOf(floats);
    const offset = this.#free.get(length)?.pop() ?? this.#region.allocate(length * 4);
    return new Float32Array(this.#buffer, offset, floats);
  }

  /** Takes back what `allocate` gave. */
  free(floats: Float32Array): void {
    const length = classOf(floats.length);
    const offsets = this.#free.get(length);
    if (offsets === undefined) this.#free.set(length, [floats.byteOffset]);
    else offsets.push(floats.byteOffset);
  }
}

function classOf(floats: number): number {
  return Math.max(SMALLEST_FLOATS, 2 ** Math.ceil(Math.log2(floats)));
}
