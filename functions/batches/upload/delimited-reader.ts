/** Position of `wanted` in `bytes`, or -1. */
function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array): number {
  const first = wanted[0]!;
  const last = bytes.length - wanted.length;
  for (let at = bytes.indexOf(first); at >= 0 && at <= last; at = bytes.indexOf(first, at + 1)) {
    let length = 1;
    while (length < wanted.length && bytes[at + length] === wanted[length]) length += 1;
    if (length === wanted.length) return at;
  }
  return -1;
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** The stream ended before what it must hold. */
export class TruncatedError extends Error {
  override readonly name: string = 'TruncatedError';
}

/** Reads a stream from delimiter to delimiter, holding little more than one chunk of it. */
export class DelimitedReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array;

  /** @param before read as if it stood before the stream */
  constructor(stream: AsyncIterable<Uint8Array>, before: Uint8Array) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#rest = before;
  }

  /**
   * The bytes up to `delimiter`, which is passed over. To be read to its end before anything else is read.
   *
   * @throws {TruncatedError} when the stream ends before a delimiter
   */
  async *until(delimiter: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const at = indexOfBytes(this.#rest, delimiter);
      // What comes next may complete a delimiter that the last bytes begin.
      const certain = at >= 0 ? at : this.#rest.length - delimiter.length + 1;
      if (certain > 0) yield this.#rest.subarray(0, certain);
      if (at >= 0) {
        this.#rest = this.#rest.subarray(at + delimiter.length);
        return;
      }
      if (certain > 0) this.#rest = this.#rest.subarray(certain);
      await this.#more();
    }
  }

  /** The next `length` bytes. @throws {TruncatedError} when there are fewer */
  async take(length: number): Promise<Uint8Array> {
    while (this.#rest.length < length) await this.#more();
    const bytes = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return bytes;
  }

  /** Reads on to the end of the stream, but no more than some `limit` bytes, and forgets all of it. */
  async discard(limit: number): Promise<void> {
    this.#rest = this.#rest.subarray(0, 0);
    for (let read = 0; read <= limit; ) {
      const { done, value } = await this.#chunks.next();
      if (done) return;
      read += value.length;
    }
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next();
    if (done) throw new TruncatedError('The stream ends too early');
    this.#rest = concat(this.#rest, value);
  }
}
