/** Words in front of the frames. */
const HEAD = 0;
const TAIL = 1;
/** Nobody writes it: a place to sleep at. */
const NEVER = 2;
const HEAD_BYTES = 64;
/** Bytes in front of each frame: when it is due, its length, where it goes. */
const RECORD_BYTES = 16;
/** Destination of the rest of the ring that was too short for a frame. */
const SKIP = -1;
/** The largest frame that the kernel hands over: a segment of 64 KiB, its Ethernet header, and the header of the device. */
export const FRAME_LIMIT_BYTES = 65_536 + 128;
const RING_BYTES = 8 * 1024 * 1024;
/** Time from a frame's leaving its node to the receiving thread having it: a wake-up, as measured on an idle processor. */
const RECEIVED_LATE_MS = 0.05;
/** Weight of the last sleep in the estimate of how late sleeps end, and the most that one sleep may count. */
const LATE_WEIGHT = 0.1;
const LATE_LIMIT_MS = 0.2;

const align = (bytes: number): number => (bytes + 7) & ~7;

const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export const allocateRing = (): SharedArrayBuffer => new SharedArrayBuffer(HEAD_BYTES + RING_BYTES);

/** Frames on their way, first in first out, between the thread that receives them and the one that sends them on. */
export class FrameRing {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #integers: Int32Array;
  readonly #times: Float64Array;
  /** How late a sleep ends, as a moving average. */
  #lateMs = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#bytes = new Uint8Array(memory, HEAD_BYTES);
    this.#integers = new Int32Array(memory, HEAD_BYTES);
    this.#times = new Float64Array(memory, HEAD_BYTES);
  }

  /**
   * Has `receive` write one frame into the ring, and keeps it for `delayMs` from its return on.
   *
   * @param receive waits for a frame, writes it and returns its length
   * @param destinationOf where the frame goes, or `undefined` to drop it
   */
  put(
    delayMs: number,
    receive: (memory: Uint8Array) => number,
    destinationOf: (frame: Uint8Array) => number | undefined,
  ): void {
    const at = this.#roomAt();
    const length = receive(this.#bytes.subarray(at + RECORD_BYTES, at + RECORD_BYTES + FRAME_LIMIT_BYTES));
    const dueMs = nowMs() + delayMs - RECEIVED_LATE_MS;
    const destination = destinationOf(this.#bytes.subarray(at + RECORD_BYTES, at + RECORD_BYTES + length));
    if (destination === undefined) return;
    this.#times[at / 8] = dueMs;
    this.#integers[at / 4 + 2] = length;
    this.#integers[at / 4 + 3] = destination;
    this.#moveHead(at + align(RECORD_BYTES + length));
  }

  /** Waits for the next frame and until it is due, and has `send` take it. */
  take(send: (frame: Uint8Array, destination: number) => void): void {
    let at = this.#words[TAIL]!;
    this.#waitForFrame(at);
    if (this.#integers[at / 4 + 3] === SKIP) {
      at = 0;
      Atomics.store(this.#words, TAIL, at);
      this.#waitForFrame(at);
    }
    this.#sleepUntil(this.#times[at / 8]!);
    const length = this.#integers[at / 4 + 2]!;
    const frame = this.#bytes.subarray(at + RECORD_BYTES, at + RECORD_BYTES + length);
    send(frame, this.#integers[at / 4 + 3]!);
    Atomics.store(this.#words, TAIL, at + align(RECORD_BYTES + length));
    Atomics.notify(this.#words, TAIL);
  }

  /** A wake-up may be that of a frame which was taken already, so the head is looked at again. */
  #waitForFrame(at: number): void {
    while (Atomics.load(this.#words, HEAD) === at) Atomics.wait(this.#words, HEAD, at);
  }

  /** Sleeps end late by tens of microseconds, a good part of a delay of 0.2 ms: so they are asked to end that much earlier. */
  #sleepUntil(dueMs: number): void {
    const startedMs = nowMs();
    const sleepMs = dueMs - startedMs - this.#lateMs;
    if (sleepMs <= 0) return;
    Atomics.wait(this.#words, NEVER, 0, sleepMs);
    const lateMs = nowMs() - startedMs - sleepMs;
    this.#lateMs += LATE_WEIGHT * (Math.min(lateMs, LATE_LIMIT_MS) - this.#lateMs);
  }

  /** Where the next frame fits; waits while the ring is full, and the kernel's queue in front of it drops what is too much. */
  #roomAt(): number {
    const needed = align(RECORD_BYTES + FRAME_LIMIT_BYTES);
    for (;;) {
      const head = this.#words[HEAD]!;
      const tail = Atomics.load(this.#words, TAIL);
      // A byte of distance keeps a full ring from looking like an empty one. Room for the mark of a skip stays at the end.
      const end = tail > head ? tail - 1 : RING_BYTES - RECORD_BYTES;
      if (head + needed <= end) return head;
      if (tail <= head && tail > 0) {
        this.#integers[head / 4 + 3] = SKIP;
        this.#moveHead(0);
      } else Atomics.wait(this.#words, TAIL, tail);
    }
  }

  #moveHead(to: number): void {
    Atomics.store(this.#words, HEAD, to);
    Atomics.notify(this.#words, HEAD);
  }
}
