import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { FrameHeader } from '../../shared/protocol/frame.ts';
import { answerListKey, dispatchListKey } from '../../shared/protocol/keys.ts';
import { joinAnswer } from './redis-relay.ts';
import type { StepServer } from './step-server.ts';

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
  /** Position of this host among the hosts of the placement. */
  readonly hostIndex: number;
  readonly server: StepServer;
  /** Connection for this endpoint alone, because it blocks; closed with it. */
  readonly receiver: Redis;
  /** Connection for answers. */
  readonly sender: Redis;
}

/** The expert host's end of `RedisLink`: takes frames from this host's list, one after the other, and has them served. */
export class RedisEndpoint {
  readonly #options: RedisEndpointOptions;
  readonly #key: string;
  /** Attention instances that were answered since the last round of `#limitAnswers`. */
  readonly #answered = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(options: RedisEndpointOptions) {
    this.#options = options;
    this.#key = dispatchListKey(options.model, options.host);
    this.#timer = setInterval(() => this.#limitAnswers(), ANSWER_TTL_INTERVAL_MS);
    this.#timer.unref();
    void this.#receive();
  }

  async #receive(): Promise<void> {
    while (!this.#closed) {
      await this.#options.server.free();
      const frame = await this.#take();
      if (frame === undefined || this.#closed) continue;
      void this.#options.server.serve(frame, (request, answer) => this.#reply(request, answer));
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

  /** An answer that Redis does not take is like a lost one: its sender asks again. */
  async #reply(request: FrameHeader, answer: Buffer): Promise<void> {
    const { sender, model, hostIndex } = this.#options;
    if (request.gather > 0) return joinAnswer(sender, model, request, hostIndex, answer).catch(() => {});
    this.#answered.add(request.attention);
    await sender.rpush(answerListKey(model, request.attention), answer).catch(() => {});
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
    const limit = new AbortController();
    await Promise.race([
      this.#options.server.idle,
      sleep(CLOSE_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => {}),
    ]);
    limit.abort();
    this.#limitAnswers();
  }
}
