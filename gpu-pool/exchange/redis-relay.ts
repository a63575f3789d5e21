import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import {
  ALL_INSTANCES,
  checkAttentionId,
  type FrameHeader,
  FrameKind,
  readHeader,
  stepBytes,
  writeDispatchBody,
  writeDispatchHeader,
} from '../../shared/protocol/frame.ts';
import { dispatchListKey, hostKey, relayAnswerListKey } from '../../shared/protocol/keys.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { acceptAnswer } from './accept-answer.ts';
import {
  AnswerOverdueError,
  emptyStatistics,
  LinkBusyError,
  LinkClosedError,
  PeerLostError,
  recordRoundTrip,
  StepTooLargeError,
} from './link.ts';
import { JOINED_LENGTH_BYTES, multiplyFrame, splitJoined, withdrawFrame } from './relay-scripts.ts';

export { joinAnswer } from './relay-scripts.ts';

/** Seconds after which frames for a host that has died disappear. */
const LIST_TTL_S = 60;
/** Time between two looks at whether the hosts that owe an answer live. */
const LOOK_INTERVAL_MS = 250;
/** Pause after a failed read of the list, while the connection comes back. */
const RECONNECT_PAUSE_MS = 50;
/**
 * Factor on the moving mean round trip after which a step is given up, and the least such time. A frame or a message is
 * lost when a connection breaks while Redis hands it over, and nothing tells: so the caller's other way is not kept waiting
 * for as long as an expert host may take.
 */
const OVERDUE_FACTOR = 20;
const OVERDUE_FLOOR_MS = 1_000;
const ROUND_TRIP_SMOOTHING = 0.05;

export interface RedisRelayOptions {
  readonly model: string;
  readonly attention: string;
  readonly shape: LayerStepShape;
  /** Ids of the expert hosts, in host order. */
  readonly hosts: readonly string[];
  /** Connection for sending; it may be shared, but must never block. */
  readonly sender: Redis;
  /** Connection for this object alone, because it blocks; closed with it. */
  readonly receiver: Redis;
  /** A step ends with `AnswerOverdueError` after this time, or earlier where steps are usually much faster. */
  readonly overdueAfterMs: number;
}

interface Answer {
  readonly header: FrameHeader;
  readonly frame: Buffer;
}

/** The layer step that is under way. */
interface Sent {
  readonly sequence: number;
  /** Positions of the hosts that it went to. */
  readonly to: readonly number[];
  readonly answered: (answers: readonly Answer[]) => void;
  readonly failed: (error: Error) => void;
}

/**
 * The relay regime of the exchange's second phase: the sender writes a frame once and Redis multiplies it to the hosts;
 * their answers come back joined, as one message. So a layer step costs an attention host one message in each direction,
 * however many expert hosts there are. A step that fails here is sent again directly by whoever called: it is taken back
 * from the lists where it still waits, and its late answers are dropped.
 */
export class RedisRelay {
  readonly statistics = emptyStatistics();
  /** Messages that no step waited for, and those that are no answers to it. */
  dropped = 0;
  readonly #options: RedisRelayOptions;
  readonly #key: string;
  /** Its numbers start anywhere, because answers to a former life of the attention instance may still arrive. */
  #sequence = randomInt(2 ** 32);
  #underWay: Sent | undefined;
  #meanRoundTripMs = 0;
  #reading = false;
  #closed = false;

  /** @throws JanusError when `attention` cannot be the name of a sender in a frame */
  constructor(options: RedisRelayOptions) {
    checkAttentionId(options.attention);
    this.#options = options;
    this.#key = relayAnswerListKey(options.model, options.attention);
    // It reconnects by itself; without a listener ioredis prints every attempt that fails.
    options.receiver.on('error', () => {});
  }

  /**
   * Sends `step` to the hosts at the positions `to`, and leaves the share of each in `outputs` at its position.
   *
   * @throws ExchangeError as a link does
   */
  async exchange(step: LayerStep, to: readonly number[], outputs: readonly Float32Array[]): Promise<void> {
    const { shape, hosts } = this.#options;
    if (this.#closed) throw new LinkClosedError(this.#nameOf(to));
    if (this.#underWay !== undefined) throw new LinkBusyError(this.#nameOf(to));
    if (step.rows > shape.maxRows) throw new StepTooLargeError(this.#nameOf(to), step.rows, shape.maxRows);
    const startedAtMs = performance.now();
    const answers = await this.#sendUntilAnswered(step, to);
    const roundTripMs = performance.now() - startedAtMs;
    this.#smooth(roundTripMs);
    let combineUs = 0;
    let aMax = 0;
    let bytes = stepBytes(step, shape);
    for (const { header, frame } of answers) {
      acceptAnswer(hosts[header.hostIndex]!, step, header, frame, outputs[header.hostIndex]!);
      combineUs = Math.max(combineUs, header.combineUs);
      aMax = Math.max(aMax, header.aMax);
      bytes += JOINED_LENGTH_BYTES + frame.byteLength;
    }
    recordRoundTrip(this.statistics, {
      roundTripUs: roundTripMs * 1_000,
      combineUs,
      aMax,
      messagesSent: 1,
      messagesReceived: 1,
      bytes,
    });
  }

  /** Ends the step under way with `error`. */
  abandon(error: Error): void {
    this.#underWay?.failed(error);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sent = this.#underWay;
    sent?.failed(new LinkClosedError(this.#nameOf(sent.to)));
    // The pending read is not waited for: ioredis never settles it when it is between two attempts to reconnect.
    this.#options.receiver.disconnect();
  }

  async #sendUntilAnswered(step: LayerStep, to: readonly number[]): Promise<readonly Answer[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Answer[]>();
    this.#sequence = (this.#sequence + 1) >>> 0;
    const frame = this.#makeFrame(step, to.length);
    const sent: Sent = { sequence: this.#sequence, to, answered: resolve, failed: reject };
    this.#underWay = sent;
    const { sender } = this.#options;
    const lists = this.#listsOf(to);
    multiplyFrame(sender, lists, frame).catch((error) => {
      reject(new PeerLostError(this.#nameOf(to), `Redis refused a frame (${error.message})`));
    });
    if (!this.#reading) void this.#read();
    const boundMs = this.#boundMs();
    const overdue = setTimeout(() => reject(new AnswerOverdueError(this.#nameOf(to), boundMs)), boundMs);
    const look = setInterval(() => void this.#look(sent), LOOK_INTERVAL_MS);
    try {
      return await promise;
    } catch (error) {
      withdrawFrame(sender, lists, frame).catch(() => {});
      throw error;
    } finally {
      clearTimeout(overdue);
      clearInterval(look);
      this.#underWay = undefined;
    }
  }

  /** A frame in memory of its own, because ioredis may hold it for longer than the step takes. */
  #makeFrame(step: LayerStep, gather: number): Buffer {
    const { attention, shape } = this.#options;
    const frame = Buffer.allocUnsafe(stepBytes(step, shape));
    writeDispatchBody(frame, step, shape);
    writeDispatchHeader(frame, step, shape, {
      attention,
      sequence: this.#sequence,
      attempt: 0,
      gather,
      only: ALL_INSTANCES,
    });
    return frame;
  }

  #listsOf(to: readonly number[]): string[] {
    const { model, hosts } = this.#options;
    return to.map((host) => dispatchListKey(model, hosts[host]!));
  }

  /** Which of the hosts an error is about is not known where none of them has answered. */
  #nameOf(to: readonly number[]): string {
    return to.map((host) => this.#options.hosts[host]!).join(' or ');
  }

  #boundMs(): number {
    const usualMs = Math.max(OVERDUE_FLOOR_MS, OVERDUE_FACTOR * this.#meanRoundTripMs);
    return Math.min(this.#options.overdueAfterMs, usualMs);
  }

  #smooth(roundTripMs: number): void {
    const mean = this.#meanRoundTripMs;
    this.#meanRoundTripMs = mean === 0 ? roundTripMs : mean + (roundTripMs - mean) * ROUND_TRIP_SMOOTHING;
  }

  /** Ends the step when one of its hosts has died. */
  async #look({ to, failed }: Sent): Promise<void> {
    const { sender, model } = this.#options;
    const hosts = to.map((host) => this.#options.hosts[host]!);
    // One command for all; who of them is dead is asked only when one is.
    const living = await sender.exists(hosts.map((host) => hostKey(model, host))).catch(() => hosts.length);
    if (living === hosts.length) return;
    for (const host of hosts) {
      if ((await sender.exists(hostKey(model, host)).catch(() => 1)) === 1) continue;
      sender.expire(dispatchListKey(model, host), LIST_TTL_S).catch(() => {});
      return failed(new PeerLostError(host, 'its heartbeat has ended'));
    }
  }

  /** Reads while a step is under way; a message that is none for it is dropped. */
  async #read(): Promise<void> {
    this.#reading = true;
    while (this.#underWay !== undefined && !this.#closed) {
      try {
        const message = (await this.#options.receiver.blpopBuffer(this.#key, 0))?.[1];
        // The next step begins in a later turn of the loop; reading goes on with it.
        if (message && this.#deliver(message)) break;
      } catch {
        if (!this.#closed) await sleep(RECONNECT_PAUSE_MS);
      }
    }
    this.#reading = false;
  }

  /** Returns whether `message` is the one that the step under way waits for. */
  #deliver(message: Buffer): boolean {
    const sent = this.#underWay;
    const answers = sent && this.#readAnswers(message, sent);
    if (answers === undefined) {
      this.dropped++;
      return false;
    }
    sent!.answered(answers);
    return true;
  }

  /** The answers in `message`; undefined unless they are one of each host that the step went to. */
  #readAnswers(message: Buffer, { sequence, to }: Sent): readonly Answer[] | undefined {
    const missing = new Set(to);
    try {
      const answers = splitJoined(message).map((frame) => ({
        frame,
        header: readHeader(frame, this.#options.shape),
      }));
      for (const { header } of answers) {
        const isAnswer = header.kind !== FrameKind.dispatch && header.kind !== FrameKind.activations;
        if (!isAnswer || header.sequence !== sequence || !missing.delete(header.hostIndex)) return undefined;
      }
      return missing.size === 0 ? answers : undefined;
    } catch {
      return undefined;
    }
  }
}
