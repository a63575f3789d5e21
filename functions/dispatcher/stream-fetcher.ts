import type { Redis } from 'ioredis';
import { ask } from './ask.ts';
import { READ_COUNT, type StreamEntry } from './token-streams.ts';

/** Streams that one command reads. */
const READ_STREAMS = 256;

/** One fetch of one stream. */
interface Fetch {
  readonly key: string;
  readonly afterId: string;
  readonly resolve: (entries: readonly StreamEntry[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Fetches of many streams, put together into few commands: those that are asked for while one is under way go into the next. */
export class StreamFetcher {
  readonly #redis: Redis;
  #waiting: Fetch[] = [];
  #isBusy = false;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @throws {DispatchError} `broker` */
  fetch(key: string, afterId: string): Promise<readonly StreamEntry[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, afterId, resolve, reject });
      if (this.#isBusy) return;
      this.#isBusy = true;
      // After all that asks for the same reason.
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
      const reply = await ask(this.#redis.xread('COUNT', READ_COUNT, 'STREAMS', ...keys, ...ids));
      const entries = new Map<string, readonly StreamEntry[]>(reply ?? []);
      for (const { key, resolve } of fetches) resolve(entries.get(key) ?? []);
    } catch (error) {
      for (const { reject } of fetches) reject(error);
    }
  }
}
