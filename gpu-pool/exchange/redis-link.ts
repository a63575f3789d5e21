import type { Redis } from 'ioredis';
import {
  ALL_INSTANCES,
  dispatchBytes,
  type FrameHeader,
  FrameKind,
  stepBytes,
  writeDispatchBody,
  writeDispatchHeader,
} from '../../shared/protocol/frame.ts';
import { dispatchListKey, hostKey } from '../../shared/protocol/keys.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { acceptAnswer } from './accept-answer.ts';
import {
  AnswerOverdueError,
  type ExpertLink,
  emptyStatistics,
  LinkBusyError,
  LinkClosedError,
  PeerLostError,
  recordRoundTrip,
  StepTooLargeError,
} from './link.ts';
import type { RedisAnswers } from './redis-answers.ts';

export { RedisAnswers } from './redis-answers.ts';

/** Times that one layer step is sent. */
const SEND_LIMIT = 3;
/** Time between two looks at a step that is not answered yet: whether its host lives, and whether it is still in the list. */
const LOOK_INTERVAL_MS = 250;
/** Factor on the moving mean round trip after which a frame that was taken counts as lost, and the least such time. */
const RESEND_FACTOR = 20;
const RESEND_FLOOR_MS = 500;
const ROUND_TRIP_SMOOTHING = 0.05;
/** Seconds after which frames for a host that has died disappear. */
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
  /** Instance of the host whose share alone this link asks for; all of the host's when absent. */
  readonly only?: number;
  /** A step that is not answered for this long ends with `AnswerOverdueError`. */
  readonly overdueAfterMs: number;
}

interface Answer {
  readonly header: FrameHeader;
  readonly frame: Buffer;
}

/** The layer step that is under way. */
interface Sent {
  readonly step: LayerStep;
  readonly sequence: number;
  readonly bytes: number;
  readonly startedAtMs: number;
  /** Times that it was sent, and when it last was known to be in the list. */
  sends: number;
  queuedAtMs: number;
  readonly answered: (answer: Answer) => void;
  readonly failed: (error: Error) => void;
}

/**
 * Tier 3 of the exchange: one list of frames per expert host, one list of answers per attention instance.
 *
 * A frame or an answer is lost when a connection breaks while Redis hands it over. So a frame that is no longer in the
 * list, and is not answered in time, is sent again. It keeps its number: computing it twice gives the same answer, and
 * whichever comes first is taken. A frame that still lies in the list is not repeated, and one that is given up is taken
 * out, so that a host which does not answer never has more than one frame of this link before it.
 */
export class RedisLink implements ExpertLink {
  readonly kind = 'redis';
  readonly host: string;
  readonly statistics = emptyStatistics();
  readonly #options: RedisLinkOptions;
  readonly #dispatchKey: string;
  readonly #frame: Buffer;
  /**
   * Pending while ioredis holds `#frame`. It copies a command when it writes it, but reads it anew after reconnecting: until
   * Redis has answered, the frame must not change.
   */
  #held: Promise<void> | undefined;
  #underWay: Sent | undefined;
  #meanRoundTripMs = 0;
  #closed = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.host = options.host;
    this.#dispatchKey = dispatchListKey(options.model, options.host);
    this.#frame = Buffer.alloc(dispatchBytes(options.shape.maxRows, options.shape));
  }

  async exchange(step: LayerStep, output: Float32Array): Promise<void> {
    const { shape } = this.#options;
    if (this.#closed) throw new LinkClosedError(this.host);
    if (this.#underWay !== undefined) throw new LinkBusyError(this.host);
    if (step.rows > shape.maxRows) throw new StepTooLargeError(this.host, step.rows, shape.maxRows);
    const { header, frame } = await this.#sendUntilAnswered(step);
    acceptAnswer(this.host, step, header, frame, output);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#underWay?.failed(new LinkClosedError(this.host));
  }

  async #sendUntilAnswered(step: LayerStep): Promise<Answer> {
    const { answers, overdueAfterMs, shape } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const startedAtMs = performance.now();
    const sent: Sent = {
      step,
      sequence: answers.takeSequence(),
      bytes: stepBytes(step, shape),
      startedAtMs,
      sends: 0,
      queuedAtMs: startedAtMs,
      answered: resolve,
      failed: reject,
    };
    this.#underWay = sent;
    if (this.#held === undefined) this.#begin(sent);
    else void this.#held.then(() => this.#begin(sent));
    const forget = answers.expect(sent.sequence, (header, frame) => resolve({ header, frame }));
    const watch = setInterval(() => this.#look(sent), Math.min(LOOK_INTERVAL_MS, overdueAfterMs));
    try {
      const answer = await promise;
      this.#record(sent, answer);
      return answer;
    } catch (error) {
      if (sent.sends > 0) this.#withdraw(sent);
      throw error;
    } finally {
      clearInterval(watch);
      forget();
      this.#underWay = undefined;
    }
  }

  #begin(sent: Sent): void {
    if (this.#underWay !== sent) return;
    writeDispatchBody(this.#frame, sent.step, this.#options.shape);
    this.#send(sent);
  }

  #send(sent: Sent): void {
    const { attention, shape, sender } = this.#options;
    const frame = this.#frame.subarray(0, sent.bytes);
    writeDispatchHeader(frame, sent.step, shape, {
      attention,
      sequence: sent.sequence,
      attempt: sent.sends,
      gather: 0,
      only: this.#options.only ?? ALL_INSTANCES,
    });
    sent.sends++;
    sent.queuedAtMs = performance.now();
    this.#hold(sender.rpush(this.#dispatchKey, frame), sent);
  }

  /** Keeps `#frame` as it is until `command` is settled; an error ends the step. */
  #hold(command: Promise<unknown>, sent: Sent): void {
    const held = command
      .then(
        () => {},
        (error) => sent.failed(new PeerLostError(this.host, `Redis refused a command (${error.message})`)),
      )
      .then(() => {
        // Commands of one connection are settled in their order, so the last one frees the frame.
        if (this.#held === held) this.#held = undefined;
      });
    this.#held = held;
  }

  /** Called at intervals while the step is not answered. */
  #look(sent: Sent): void {
    const { overdueAfterMs } = this.#options;
    const waitedMs = performance.now() - sent.startedAtMs;
    // While the frame is held, Redis is away: ioredis sends what it holds when Redis is back.
    if (waitedMs > overdueAfterMs) {
      sent.failed(
        this.#held === undefined
          ? new AnswerOverdueError(this.host, waitedMs)
          : new PeerLostError(this.host, `Redis did not answer for ${Math.round(waitedMs)} ms`),
      );
    } else if (this.#held === undefined) {
      void this.#inquire(sent);
    }
  }

  /** Gives the step up when its host is dead, and sends it again when its frame was taken too long ago. */
  async #inquire(sent: Sent): Promise<void> {
    const { sender, model } = this.#options;
    const living = sender.exists(hostKey(model, this.host));
    const queued = sender.lpos(this.#dispatchKey, this.#frame.subarray(0, sent.bytes));
    this.#hold(Promise.all([living, queued]), sent);
    const [isAlive, place] = await Promise.all([living, queued]).catch(() => [1, 0]);
    if (this.#underWay !== sent) return;
    if (isAlive === 0) {
      sender.expire(this.#dispatchKey, LIST_TTL_S).catch(() => {});
      sent.failed(new PeerLostError(this.host, 'its heartbeat has ended'));
    } else if (place !== null) {
      sent.queuedAtMs = performance.now();
    } else if (this.#isDueAgain(sent)) {
      this.#send(sent);
    }
  }

  #isDueAgain(sent: Sent): boolean {
    if (sent.sends >= SEND_LIMIT) return false;
    const dueMs = Math.max(RESEND_FLOOR_MS, RESEND_FACTOR * this.#meanRoundTripMs) * 2 ** (sent.sends - 1);
    return performance.now() - sent.queuedAtMs > dueMs;
  }

  /** Takes the frame of a step that is given up out of the list, where it may still wait. */
  #withdraw(sent: Sent): void {
    const frame = this.#frame.subarray(0, sent.bytes);
    this.#hold(this.#options.sender.lrem(this.#dispatchKey, 1, frame), sent);
  }

  #record(sent: Sent, { header, frame }: Answer): void {
    const roundTripMs = performance.now() - sent.startedAtMs;
    const mean = this.#meanRoundTripMs;
    this.#meanRoundTripMs = mean === 0 ? roundTripMs : mean + (roundTripMs - mean) * ROUND_TRIP_SMOOTHING;
    if (header.kind !== FrameKind.answer) return;
    const bytes = sent.sends * sent.bytes + frame.byteLength;
    recordRoundTrip(this.statistics, {
      roundTripUs: roundTripMs * 1_000,
      combineUs: header.combineUs,
      aMax: header.aMax,
      messagesSent: sent.sends,
      messagesReceived: 1,
      bytes,
    });
  }
}
