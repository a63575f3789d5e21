import type { Socket } from 'node:net';

/** Bytes before each frame that say how long it is. */
const LENGTH_BYTES = 4;

/**
 * Frames over a stream socket: each is preceded by its length, 32 bits, little-endian. A frame is handed over as a view of
 * memory that the next frame overwrites, so nothing is allocated per frame; whoever needs it longer copies it.
 *
 * A length of 0 is a probe, which asks whether the other side lives, or the answer to one. It touches no memory of frames, so
 * it may come while one is being worked on.
 */
export class FrameSocket {
  readonly #socket: Socket;
  readonly #incoming: Buffer;
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  readonly #prefix = Buffer.alloc(LENGTH_BYTES);
  /** Bytes of the length, then of the frame, that have arrived. */
  #lengthRead = 0;
  #frameRead = 0;
  #answersProbes = false;
  #onFrame: (frame: Buffer) => void;
  /** Grows with whatever comes. */
  heard = 0;

  /**
   * @param limitBytes longest frame that is accepted; a longer one ends the connection, since nothing after it can be found
   * @param onFrame called with each frame
   * @param onEnd called once, with the reason, when the connection has ended
   */
  constructor(
    socket: Socket,
    limitBytes: number,
    onFrame: (frame: Buffer) => void,
    onEnd: (reason: string) => void,
  ) {
    this.#socket = socket;
    this.#incoming = Buffer.alloc(limitBytes);
    this.#onFrame = onFrame;
    socket.setNoDelay(true);
    let reason = 'the connection was closed';
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => onEnd(reason));
    socket.on('data', (chunk: Buffer) => {
      this.heard++;
      try {
        this.#take(chunk);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  /** From now on frames go to `onFrame`. */
  receive(onFrame: (frame: Buffer) => void): void {
    this.#onFrame = onFrame;
  }

  /** Sends a frame. `sent` is called when its memory may be changed; it never is when the connection ends before. */
  send(frame: Uint8Array, sent?: () => void): void {
    this.#socket.cork();
    // A prefix of its own per frame: the kernel may take it later than the next call.
    const prefix = Buffer.from(this.#prefix);
    prefix.writeUInt32LE(frame.byteLength);
    this.#socket.write(prefix);
    this.#socket.write(frame, () => sent?.());
    this.#socket.uncork();
  }

  /** Asks the other side for a sign of life, or gives one. */
  probe(): void {
    this.#socket.write(this.#prefix);
  }

  /** From now on probes are answered. */
  answerProbes(): void {
    this.#answersProbes = true;
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Ends the connection when what was sent has left. */
  end(): void {
    this.#socket.end();
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#lengthRead < LENGTH_BYTES) {
        const end = Math.min(chunk.byteLength, at + LENGTH_BYTES - this.#lengthRead);
        chunk.copy(this.#length, this.#lengthRead, at, end);
        this.#lengthRead += end - at;
        at = end;
        if (this.#lengthRead === LENGTH_BYTES && this.#length.readUInt32LE() === 0) this.#takeProbe();
        continue;
      }
      at += this.#takeBody(chunk, at);
    }
  }

  #takeProbe(): void {
    this.#lengthRead = 0;
    if (this.#answersProbes) this.probe();
  }

  #takeBody(chunk: Buffer, at: number): number {
    const length = this.#length.readUInt32LE();
    if (length > this.#incoming.byteLength) {
      throw new Error(`a frame of ${length} bytes is over the limit of ${this.#incoming.byteLength}`);
    }
    const end = Math.min(chunk.byteLength, at + length - this.#frameRead);
    chunk.copy(this.#incoming, this.#frameRead, at, end);
    this.#frameRead += end - at;
    if (this.#frameRead < length) return end - at;
    this.#lengthRead = 0;
    this.#frameRead = 0;
    this.#onFrame(this.#incoming.subarray(0, length));
    return end - at;
  }
}
