import type { Redis } from 'ioredis';
import type { StreamFetcher } from './stream-fetcher.ts';
import type { TokenStream } from './token-streams.ts';
import { ToldStream } from './told-stream.ts';

/**
 * Streams of which several readers, of any gateways, may read the same. Hosts tell of each on a channel of its own, and what
 * they tell there is heard as a ring alone, upon which the stream is read: so all readers get its events in one order, that of
 * the stream, also where several hosts write to it.
 */
export class SharedStreams {
  readonly #subscriber: Redis;
  readonly #fetcher: StreamFetcher;
  readonly #open = new Map<string, Set<ToldStream>>();

  /** @param subscriber connection for subscriptions, whose messages are passed on to `ring` */
  constructor(subscriber: Redis, fetcher: StreamFetcher) {
    this.#subscriber = subscriber;
    this.#fetcher = fetcher;
  }

  open(requestId: string, signal: AbortSignal, channel: string): TokenStream {
    const stream = new ToldStream(requestId, signal, this.#fetcher, () => this.#leave(channel, stream));
    const readers = this.#open.get(channel);
    if (readers !== undefined) {
      readers.add(stream);
      return stream;
    }
    this.#open.set(channel, new Set([stream]));
    // What came before nobody heard. A failure shows in the commands of the streams.
    this.#subscriber.subscribe(channel).then(
      () => this.ring(channel),
      () => {},
    );
    return stream;
  }

  ring(channel: string): void {
    for (const stream of this.#open.get(channel) ?? []) stream.missed();
  }

  ringAll(): void {
    for (const channel of this.#open.keys()) this.ring(channel);
  }

  close(): void {
    for (const stream of [...this.#open.values()].flatMap((readers) => [...readers])) stream.close();
  }

  #leave(channel: string, stream: ToldStream): void {
    const readers = this.#open.get(channel);
    if (readers?.delete(stream) !== true || readers.size > 0) return;
    this.#open.delete(channel);
    this.#subscriber.unsubscribe(channel).catch(() => {});
  }
}
