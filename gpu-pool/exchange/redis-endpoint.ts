import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { JanusError } from '../../shared/errors/janus-error.ts';
import {
  answerBytes,
  checkHeader,
  encodeText,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  parseHeader,
  readDispatchBody,
  writeHeader,
} from '../../shared/protocol/frame.ts';
import { answerListKey, dispatchListKey } from '../../shared/protocol/keys.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { type ExpertLink, PeerLostError, StalePlacementError } from './link.ts';

/** Seconds after which answers that their attention instance never came to fetch disappear. */
const ANSWER_TTL_S = 60;
/** Time between two rounds that give the lists of answers that limit: it must not cost a command per layer step. */
const ANSWER_TTL_INTERVAL_MS = 20_000;
/** Pause after a failed read of the list, while the connection comes back. */
const RECONNECT_PAUSE_MS = 50;
/** Longest wait of `close` for the answer under way. */
const CLOSE_LIMIT_MS = 2_000;

export interface RedisEndpointOptions {
  readonly host: string;
  readonly model: string;
  readonly shape: LayerStepShape;
  /** Connection for this endpoint alone, because it blocks; closed with it. */
  readonly receiver: Redis;
  /** Connection for answers. */
  readonly sender: Redis;
  /** Way to this host's own instances. Its lane is where incoming steps are put. */
  readonly instances: ExpertLink & { readonly lane: LayerStep };
  /** Version of the placement that this host holds. */
  readonly placementVersion: number;
}

/**
 * The expert host's end of `RedisLink`: takes frames from this host's list, one after the other, lets the instances compute
 * them in shared memory and answers each with one payload, the sum over all its instances.
 *
 * A frame that does not fit is answered with the reason. One that does not even say who sent it is dropped and counted.
 */
export class RedisEndpoint {
  readonly #options: RedisEndpointOptions;
  readonly #key: string;
  /** The largest answer; `#output` `[maxRows, H]` is its body, so that the sum is made where it is sent from. */
  readonly #answer: Buffer;
  readonly #output: Float32Array;
  /** Pending while ioredis holds `#answer`. */
  #sending: Promise<void> = Promise.resolve();
  #handling: Promise<void> = Promise.resolve();
  /** Attention instances that were answered since the last round of `#limitAnswers`. */
  readonly #answered = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;
  /** Frames that were no frames of this protocol. */
  unreadable = 0;

  constructor(options: RedisEndpointOptions) {
    const { shape } = options;
    this.#options = options;
    this.#key = dispatchListKey(options.model, options.host);
    this.#answer = Buffer.from(new ArrayBuffer(answerBytes(shape.maxRows, shape)));
    this.#output = new Float32Array(
      this.#answer.buffer,
      this.#answer.byteOffset + FRAME_HEADER_BYTES,
      shape.maxRows * shape.hiddenSize,
    );
    // It reconnects by itself; without a listener ioredis prints every attempt that fails.
    options.receiver.on('error', () => {});
    this.#timer = setInterval(() => this.#limitAnswers(), ANSWER_TTL_INTERVAL_MS);
    this.#timer.unref();
    void this.#serve();
  }

  async #serve(): Promise<void> {
    while (!this.#closed) {
      const frame = await this.#take();
      if (frame === undefined || this.#closed) continue;
      this.#handling = this.#handle(frame);
      await this.#handling;
    }
  }

  async #take(): Promise<Buffer | undefined> {
    try {
      return (await this.#options.receiver.blpopBuffer(this.#key, 0))?.[1];
    } catch {
      // Redis reconnects by itself; a frame that was lost with the connection is sent again by its sender.
      if (!this.#closed) await sleep(RECONNECT_PAUSE_MS);
      return undefined;
    }
  }

  async #handle(frame: Buffer): Promise<void> {
    let header: FrameHeader;
    try {
      header = parseHeader(frame);
    } catch {
      this.unreadable++;
      return;
    }
    // The answer before this one may still be on its way out of the buffer.
    await this.#sending;
    try {
      const combineUs = await this.#compute(frame, header);
      const bytes = answerBytes(header.rows, this.#options.shape);
      this.#send(header, FrameKind.answer, this.#answer.subarray(0, bytes), combineUs);
    } catch (error) {
      this.#refuse(header, error);
    }
  }

  /** Leaves the host's share of the MoE output in `#output`; returns the time of the weighted sum in microseconds. */
  async #compute(frame: Buffer, header: FrameHeader): Promise<number> {
    const { host, shape, instances, placementVersion } = this.#options;
    checkHeader(frame, header, shape);
    if (header.kind !== FrameKind.dispatch) {
      throw new JanusError(
        `Exchange frame of kind ${header.kind} came to an expert host, which takes layer steps only.`,
      );
    }
    if (header.placementVersion !== placementVersion) {
      throw new StalePlacementError(host, header.placementVersion, placementVersion);
    }
    const step = instances.lane;
    step.rows = header.rows;
    step.layer = header.layer;
    step.placementVersion = header.placementVersion;
    readDispatchBody(frame, step, shape);
    const { statistics } = instances;
    const combinedBeforeUs = statistics.totalCombineUs;
    await instances.exchange(step, this.#output);
    return statistics.totalCombineUs - combinedBeforeUs;
  }

  #refuse(request: FrameHeader, error: unknown): void {
    const lost = error instanceof PeerLostError;
    const stale = error instanceof StalePlacementError;
    const kind = lost ? FrameKind.lost : stale ? FrameKind.stale : FrameKind.failed;
    const text = encodeText(lost ? error.what : error instanceof Error ? error.message : String(error));
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + text.byteLength);
    frame.set(text, FRAME_HEADER_BYTES);
    this.#send(request, kind, frame, 0, stale ? error.heldVersion : undefined);
  }

  #send(request: FrameHeader, kind: FrameKind, frame: Buffer, combineUs: number, heldVersion?: number): void {
    const { sender, model, placementVersion } = this.#options;
    writeHeader(frame, { ...request, kind, combineUs, placementVersion: heldVersion ?? placementVersion });
    this.#answered.add(request.attention);
    // An answer that Redis does not take is like a lost one: its sender asks again.
    this.#sending = sender.rpush(answerListKey(model, request.attention), frame).then(
      () => {},
      () => {},
    );
  }

  /** A list that was emptied is gone, and its limit with it: so the limit is set again as long as there are answers. */
  #limitAnswers(): void {
    const { sender, model } = this.#options;
    for (const attention of this.#answered) {
      sender.expire(answerListKey(model, attention), ANSWER_TTL_S).catch(() => {});
    }
    this.#answered.clear();
  }

  /** Stops taking frames; the one under way is still answered, unless that takes longer than a bound. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    // The pending read is not waited for: ioredis never settles it when it is between two attempts to reconnect.
    this.#options.receiver.disconnect();
    const answered = this.#handling.then(() => this.#sending);
    const limit = new AbortController();
    await Promise.race([
      answered,
      sleep(CLOSE_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => {}),
    ]);
    limit.abort();
    this.#limitAnswers();
  }
}
