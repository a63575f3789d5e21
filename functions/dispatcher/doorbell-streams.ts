import type { Redis } from 'ioredis';
import { doorbellChannel, ringingIds, tokenStreamKey } from '../../shared/protocol/keys.ts';
import { ask } from './ask.ts';
import { READ_COUNT, type StreamEntry, type TokenStream, type TokenStreams } from './token-streams.ts';

/** Streams that one command reads. */
const READ_STREAMS = 256;
/** A ring may be lost, with the connection or with the host that owed it: so long later a stream is read all the same. */
export const LONGEST_WAIT_MS = 5_000;

/** One fetch of one stream. */
interface Fetch {
  readonly key: string;
  readonly afterId: string;
  readonly resolve: (entries: readonly StreamEntry[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Fetches of many streams, put together into few commands: those that are asked for while one is under way go into the next. */
class Fetcher {
  readonly #redis: Redis;
  #waiting: Fetch[] = [];
  #isBusy = false;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  fetch(key: string, afterId: string): Promise<readonly StreamEntry[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, afterId, resolve, reject });
      if (this.#isBusy) return;
      this.#isBusy = true;
      // After all that the same ring woke have asked.
      setImmediate(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#read(this.#waiting.splice(0, READ_STREAMS));
    this.#isBusy = false;
  }

  async #read(fetches: readonly Fetch[]): Promise<void> {
    const keys = fetches.map(({ key }) => key);
    const ids = fetches.map(({ afterId }) => afterId);
    try {
      const reply = await this.#redis.xread('COUNT', READ_COUNT, 'STREAMS', ...keys, ...ids);
      const entries = new Map<string, readonly StreamEntry[]>(reply ?? []);
      for (const { key, resolve } of fetches) resolve(entries.get(key) ?? []);
    } catch (error) {
      for (const { reject } of fetches) reject(error);
    }
  }
}

/** A stream whose reader sleeps until it is rung for, or was rung for while it was busy. */
class RungStream implements TokenStream {
  readonly #key: string;
  readonly #fetcher: Fetcher;
  readonly #onClose: () => void;
  /** What came before it was opened was rung for to nobody. */
  #isRung = true;
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(requestId: string, fetcher: Fetcher, onClose: () => void) {
    this.#key = tokenStreamKey(requestId);
    this.#fetcher = fetcher;
    this.#onClose = onClose;
  }

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  async read(afterId: string, waitMs: number): Promise<readonly StreamEntry[]> {
    const untilMs = performance.now() + waitMs;
    for (;;) {
      const leftMs = untilMs - performance.now();
      if (!this.#isRung) await this.#rung(Math.max(0, leftMs));
      const isLast = !this.#isRung || this.#isClosed;
      // Before the fetch: who rings from here on may have written behind what it sees.
      this.#isRung = false;
      const entries = await this.#fetcher.fetch(this.#key, afterId);
      if (entries.length === READ_COUNT) this.#isRung = true;
      if (entries.length > 0 || isLast) return entries;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#wake?.();
    this.#onClose();
  }

  /** Resolves when the stream is rung for or closed, and after `waitMs`. */
  #rung(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

/**
 * Reads of a long-lived process: hosts ring on one channel for all requests of this process, once per step, and one command
 * then reads all streams that were rung for. A waiting stream costs a map entry and a timer, no connection and no command.
 *
 * @param redis client for commands that do not block; its options are copied for the connection that listens
 * @param id of this process, unlike any other's
 * @throws {DispatchError} `broker` when Redis does not take the subscription
 */
export async function createDoorbellStreams(redis: Redis, id: string): Promise<TokenStreams> {
  const doorbell = doorbellChannel(id);
  const subscriber = redis.duplicate({ maxRetriesPerRequest: null, lazyConnect: false });
  const fetcher = new Fetcher(redis);
  const open = new Map<string, RungStream>();
  // Commands carry their failures; without a listener ioredis would print them as well.
  subscriber.on('error', () => {});
  subscriber.on('message', (_channel: string, message: string) => {
    for (const requestId of ringingIds(message)) open.get(requestId)?.ring();
  });
  try {
    await ask(subscriber.subscribe(doorbell));
  } catch (error) {
    subscriber.disconnect();
    throw error;
  }
  // Rings were lost while it was away.
  subscriber.on('ready', () => {
    for (const stream of open.values()) stream.ring();
  });
  return {
    doorbell,
    longestWaitMs: LONGEST_WAIT_MS,
    open(requestId) {
      const stream = new RungStream(requestId, fetcher, () => {
        if (open.get(requestId) === stream) open.delete(requestId);
      });
      open.set(requestId, stream);
      return stream;
    },
    close() {
      subscriber.disconnect();
      for (const stream of open.values()) stream.close();
    },
  };
}
