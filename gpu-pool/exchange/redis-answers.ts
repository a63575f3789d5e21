import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { checkAttentionId, type FrameHeader, FrameKind, readHeader } from '../../shared/protocol/frame.ts';
import { answerListKey } from '../../shared/protocol/keys.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';

/** Pause after a failed read of the list, while the connection comes back. */
const RECONNECT_PAUSE_MS = 50;

/** Called with an answer; the frame belongs to the receiver. */
export type ReceiveAnswer = (header: FrameHeader, frame: Buffer) => void;

/**
 * The list of answers of one attention instance, drained by one blocking connection for all its links. An answer is handed
 * to the link that expects its sequence number; one that nobody expects is late or doubled, and dropped.
 *
 * The list is read only while an answer is expected. So the command that waits for the next answer is sent after the step
 * that it answers, and costs no time between an answer and the step after it.
 */
export class RedisAnswers {
  readonly #connection: Redis;
  readonly #key: string;
  readonly #shape: LayerStepShape;
  readonly #expected = new Map<number, ReceiveAnswer>();
  #reading = false;
  #closed = false;
  /**
   * An attention instance that starts again has the same list, in which answers to its former life may arrive: so its
   * numbers start anywhere.
   */
  #sequence = randomInt(2 ** 32);
  /** Answers that nobody expected, and frames that are no answers. */
  dropped = 0;

  /**
   * @param connection for this object alone, because it blocks; closed with it
   * @throws JanusError when `attention` cannot be the name of a sender in a frame
   */
  constructor(connection: Redis, model: string, attention: string, shape: LayerStepShape) {
    checkAttentionId(attention);
    this.#connection = connection;
    // It reconnects by itself; without a listener ioredis prints every attempt that fails.
    connection.on('error', () => {});
    this.#key = answerListKey(model, attention);
    this.#shape = shape;
  }

  /** A number for the next layer step, unlike those of all links that share this list. */
  takeSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  /** Calls `receive` once, with the answer of frame `sequence`, unless the returned function is called before. */
  expect(sequence: number, receive: ReceiveAnswer): () => void {
    this.#expected.set(sequence, receive);
    if (!this.#reading) void this.#read();
    return () => this.#expected.delete(sequence);
  }

  async #read(): Promise<void> {
    this.#reading = true;
    while (this.#expected.size > 0 && !this.#closed) {
      try {
        const popped = await this.#connection.blpopBuffer(this.#key, 0);
        if (popped) this.#deliver(popped[1]);
      } catch {
        // The connection comes back by itself; an answer that was lost with it is sent for again by its link.
        if (!this.#closed) await sleep(RECONNECT_PAUSE_MS);
      }
    }
    this.#reading = false;
  }

  #deliver(frame: Buffer): void {
    const header = this.#readAnswer(frame);
    const receive = header && this.#expected.get(header.sequence);
    if (header === undefined || receive === undefined) {
      this.dropped++;
      return;
    }
    this.#expected.delete(header.sequence);
    receive(header, frame);
  }

  #readAnswer(frame: Buffer): FrameHeader | undefined {
    try {
      const header = readHeader(frame, this.#shape);
      return header.kind === FrameKind.dispatch ? undefined : header;
    } catch {
      return undefined;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    // The pending read is not waited for: ioredis never settles it when it is between two attempts to reconnect.
    this.#connection.disconnect();
  }
}
