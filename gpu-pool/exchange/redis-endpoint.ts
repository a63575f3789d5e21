import type { Redis } from 'ioredis';
import {
  answerBytes,
  bytesOf,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameKind,
  readDispatchBody,
  readHeader,
  writeHeader,
} from '../../shared/protocol/frame.ts';
import { answerListKey, dispatchListKey } from '../../shared/protocol/keys.ts';
import type { LayerStep, LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { type ExpertLink, StalePlacementError } from './link.ts';

/** Seconds after which answers for an attention instance that never came to fetch them disappear. */
const ANSWER_TTL_S = 60;
/** Seconds between renewals of that limit: it must not cost a command per layer step. */
const ANSWER_TTL_RENEWAL_MS = 20_000;
/** Pause after a failed read of the list, while the connection comes back. */
const RECONNECT_PAUSE_MS = 50;

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
 */
export class RedisEndpoint {
  readonly #options: RedisEndpointOptions;
  readonly #key: string;
  readonly #answer: Buffer;
  readonly #output: Float32Array;
  readonly #renewedAtMs = new Map<string, number>();
  readonly #loop: Promise<void>;
  #closed = false;

  constructor(options: RedisEndpointOptions) {
    this.#options = options;
    this.#key = dispatchListKey(options.model, options.host);
    this.#answer = Buffer.alloc(answerBytes(options.shape.maxRows, options.shape));
    this.#output = new Float32Array(options.shape.maxRows * options.shape.hiddenSize);
    this.#loop = this.#serve();
  }

  async #serve(): Promise<void> {
    while (!this.#closed) {
      try {
        const popped = await this.#options.receiver.blpopBuffer(this.#key, 0);
        if (popped && !this.#closed) await this.#handle(popped[1]);
      } catch {
        // Redis reconnects by itself, and a frame that cannot be read has no one to answer to: its sender repeats it.
        if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, RECONNECT_PAUSE_MS));
      }
    }
  }

  async #handle(frame: Buffer): Promise<void> {
    const { shape, instances, placementVersion } = this.#options;
    const header = readHeader(frame, shape);
    const step = instances.lane;
    step.rows = header.rows;
    step.layer = header.layer;
    step.placementVersion = header.placementVersion;
    try {
      if (header.placementVersion !== placementVersion) {
        throw new StalePlacementError(this.#options.host, header.placementVersion, placementVersion);
      }
      readDispatchBody(frame, step, shape);
      await instances.exchange(step, this.#output);
    } catch (error) {
      const kind = error instanceof StalePlacementError ? FrameKind.stale : FrameKind.failed;
      return this.#send(header, kind, Buffer.from(error instanceof Error ? error.message : String(error)));
    }
    return this.#send(header, FrameKind.answer, bytesOf(this.#output, header.rows * shape.hiddenSize));
  }

  async #send(request: FrameHeader, kind: FrameKind, body: Uint8Array): Promise<void> {
    const { sender, model, placementVersion } = this.#options;
    const bytes = FRAME_HEADER_BYTES + body.byteLength;
    const answer = bytes <= this.#answer.byteLength ? this.#answer.subarray(0, bytes) : Buffer.alloc(bytes);
    writeHeader(answer, { ...request, kind, placementVersion });
    answer.set(body, FRAME_HEADER_BYTES);
    const key = answerListKey(model, request.attention);
    await sender.rpush(key, answer);
    const now = performance.now();
    if (now - (this.#renewedAtMs.get(request.attention) ?? 0) > ANSWER_TTL_RENEWAL_MS) {
      this.#renewedAtMs.set(request.attention, now);
      await sender.expire(key, ANSWER_TTL_S);
    }
  }

  /** Stops taking frames; the one under way is still answered. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#options.receiver.disconnect();
    await this.#loop;
  }
}
