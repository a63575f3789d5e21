import type { Redis } from 'ioredis';
import {
  dispatchBytes,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  readHeader,
  readText,
  writeDispatchBody,
  writeHeader,
} from '../../shared/protocol/frame.ts';
import { answerListKey, dispatchListKey, hostKey } from '../../shared/protocol/keys.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import {
  AnswerOverdueError,
  ExpertFailedError,
  type ExpertLink,
  emptyStatistics,
  LinkBusyError,
  PeerLostError,
  recordRoundTrip,
  StalePlacementError,
  StepTooLargeError,
} from './link.ts';

/** Times that one layer step is sent before its host counts as unable to answer. */
const SEND_LIMIT = 3;
/** Factor on the moving mean round trip after which an answer is overdue, and the bounds of the result. */
const OVERDUE_FACTOR = 20;
const OVERDUE_FLOOR_MS = 500;
const ROUND_TRIP_SMOOTHING = 0.05;
/** Seconds after which frames for a host that never came to fetch them disappear. */
const LIST_TTL_S = 60;

export interface RedisLinkOptions {
  readonly host: string;
  readonly model: string;
  /** Id of this attention instance, unique among all hosts; it names the list of answers. */
  readonly attention: string;
  readonly shape: LayerStepShape;
  /** Connection for sending. It may be shared with other links, but must never block. */
  readonly sender: Redis;
  readonly answers: RedisAnswers;
  /** Upper bound of the wait for one answer. */
  readonly overdueAfterMs: number;
}

/**
 * The list of answers of one attention instance, drained by one blocking connection for all its links. An answer is handed
 * to the link of the host that it came from; one that nobody waits for is late or doubled, and dropped.
 */
export class RedisAnswers {
  readonly #connection: Redis;
  readonly #key: string;
  readonly #shape: LayerStepShape;
  readonly #waiting = new Map<number, (header: FrameHeader, frame: Buffer) => void>();
  readonly #loop: Promise<void>;
  #closed = false;
  /** Answers that nobody waited for. */
  dropped = 0;

  /** @param connection for this object alone, because it blocks; closed with it */
  constructor(connection: Redis, model: string, attention: string, shape: LayerStepShape) {
    this.#connection = connection;
    this.#key = answerListKey(model, attention);
    this.#shape = shape;
    this.#loop = this.#drain();
  }

  /** Calls `receive` with the answer of frame `sequence`, unless the returned function is called before. */
  expect(sequence: number, receive: (header: FrameHeader, frame: Buffer) => void): () => void {
    this.#waiting.set(sequence, receive);
    return () => this.#waiting.delete(sequence);
  }

  async #drain(): Promise<void> {
    while (!this.#closed) {
      try {
        const popped = await this.#connection.blpopBuffer(this.#key, 0);
        if (popped) this.#deliver(popped[1]);
      } catch {
        // The connection reconnects by itself; what was under way is sent again when it is overdue.
        if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  #deliver(frame: Buffer): void {
    const header = readHeader(frame, this.#shape);
    const receive = this.#waiting.get(header.sequence);
    if (receive === undefined) {
      this.dropped++;
      return;
    }
    this.#waiting.delete(header.sequence);
    receive(header, frame);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection.disconnect();
    await this.#loop;
  }
}

let nextSequence = 1;
/** Frame numbers are unique in a thread, so that links which share a list of answers cannot take each other's. */
function takeSequence(): number {
  const sequence = nextSequence;
  nextSequence = (nextSequence + 1) >>> 0 || 1;
  return sequence;
}

/** Tier 3 of the exchange: one list of frames per expert host, one list of answers per attention instance. */
export class RedisLink implements ExpertLink {
  readonly kind = 'redis';
  readonly host: string;
  readonly statistics = emptyStatistics();
  readonly #options: RedisLinkOptions;
  readonly #dispatchKey: string;
  readonly #frame: Buffer;
  #meanRoundTripMs = 0;
  #busy = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.host = options.host;
    this.#dispatchKey = dispatchListKey(options.model, options.host);
    this.#frame = Buffer.alloc(dispatchBytes(options.shape.maxRows, options.shape));
  }

  async exchange(step: LayerStep, output: Float32Array): Promise<void> {
    const { shape } = this.#options;
    if (step.rows > shape.maxRows) throw new StepTooLargeError(this.host, step.rows, shape.maxRows);
    if (this.#busy) throw new LinkBusyError(this.host);
    this.#busy = true;
    try {
      const bytes = dispatchBytes(step.rows, shape);
      const startedAt = performance.now();
      const answer = await this.#sendUntilAnswered(step, this.#frame.subarray(0, bytes));
      const roundTripMs = performance.now() - startedAt;
      this.#meanRoundTripMs += (roundTripMs - this.#meanRoundTripMs) * ROUND_TRIP_SMOOTHING;
      this.#accept(step, answer.header, answer.frame, output);
      recordRoundTrip(this.statistics, roundTripMs * 1_000, 2, bytes + answer.frame.byteLength);
    } finally {
      this.#busy = false;
    }
  }

  async close(): Promise<void> {}

  async #sendUntilAnswered(step: LayerStep, frame: Buffer): Promise<{ header: FrameHeader; frame: Buffer }> {
    let waitedMs = 0;
    for (let attempt = 0; attempt < SEND_LIMIT; attempt++) {
      const limitMs = this.#overdueMs(attempt);
      const answer = await this.#sendOnce(step, attempt, frame, limitMs);
      if (answer !== undefined) return answer;
      waitedMs += limitMs;
      await this.#checkAlive();
    }
    throw new AnswerOverdueError(this.host, waitedMs);
  }

  /** Sends the step once; `undefined` when no answer came within `limitMs`. */
  #sendOnce(
    step: LayerStep,
    attempt: number,
    frame: Buffer,
    limitMs: number,
  ): Promise<{ header: FrameHeader; frame: Buffer } | undefined> {
    const { attention, shape, sender, answers } = this.#options;
    const sequence = takeSequence();
    writeHeader(frame, {
      kind: FrameKind.dispatch,
      sequence,
      layer: step.layer,
      attempt,
      placementVersion: step.placementVersion,
      rows: step.rows,
      hiddenSize: shape.hiddenSize,
      expertsPerToken: shape.expertsPerToken,
      attention,
    });
    if (attempt === 0) writeDispatchBody(frame, step, shape);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        forget();
        resolve(undefined);
      }, limitMs);
      const forget = answers.expect(sequence, (header, answer) => {
        clearTimeout(timer);
        resolve({ header, frame: answer });
      });
      sender.rpush(this.#dispatchKey, frame).catch((error) => {
        clearTimeout(timer);
        forget();
        reject(new PeerLostError(this.host, `Redis did not take the frame (${error.message})`));
      });
    });
  }

  /** Bound on one wait: follows the measured round trips, doubled with each attempt. */
  #overdueMs(attempt: number): number {
    const derived = Math.max(OVERDUE_FLOOR_MS, OVERDUE_FACTOR * this.#meanRoundTripMs) * 2 ** attempt;
    return Math.min(derived, this.#options.overdueAfterMs);
  }

  /** @throws PeerLostError when the host's heartbeat has ended */
  async #checkAlive(): Promise<void> {
    const { sender, model } = this.#options;
    if ((await sender.exists(hostKey(model, this.host))) === 1) return;
    await sender.expire(this.#dispatchKey, LIST_TTL_S);
    throw new PeerLostError(this.host, 'its heartbeat has ended');
  }

  #accept(step: LayerStep, header: FrameHeader, frame: Buffer, output: Float32Array): void {
    if (header.kind === FrameKind.stale) {
      throw new StalePlacementError(this.host, step.placementVersion, header.placementVersion);
    }
    if (header.kind === FrameKind.failed) throw new ExpertFailedError(this.host, readText(frame));
    const bytes = step.rows * this.#options.shape.hiddenSize * 4;
    new Uint8Array(output.buffer, output.byteOffset, bytes).set(frame.subarray(FRAME_HEADER_BYTES));
  }
}
