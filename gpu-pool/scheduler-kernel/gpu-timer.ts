/** Begin and end of a pass. */
const TIMESTAMPS = 2;
const BYTES = TIMESTAMPS * BigUint64Array.BYTES_PER_ELEMENT;

/** Measures on the GPU how long a compute pass takes. Needs the feature `timestamp-query`. */
export class GpuTimer {
  /** To begin the pass with. */
  readonly passDescriptor: GPUComputePassDescriptor;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #readBack: GPUBuffer;

  constructor(device: GPUDevice) {
    const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    this.#queries = device.createQuerySet({ type: 'timestamp', count: TIMESTAMPS });
    this.#resolved = device.createBuffer({ size: BYTES, usage: QUERY_RESOLVE | COPY_SRC });
    this.#readBack = device.createBuffer({ size: BYTES, usage: COPY_DST | MAP_READ });
    this.passDescriptor = {
      timestampWrites: {
        querySet: this.#queries,
        beginningOfPassWriteIndex: 0,
        endOfPassWriteIndex: 1,
      },
    };
  }

  /** To be called after the pass has ended, before its commands are submitted. */
  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.#queries, 0, TIMESTAMPS, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readBack, 0, BYTES);
  }

  /** Time between begin and end of the pass that was submitted last, in µs. */
  async readUs(): Promise<number> {
    await this.#readBack.mapAsync(GPUMapMode.READ);
    const [begin, end] = new BigUint64Array(this.#readBack.getMappedRange());
    this.#readBack.unmap();
    return Number(end - begin) / 1_000;
  }

  destroy(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
    this.#readBack.destroy();
  }
}
