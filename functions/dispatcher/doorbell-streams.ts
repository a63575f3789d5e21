import type { Redis } from 'ioredis';
import { doorbellChannel } from '../../shared/protocol/keys.ts';
import { openSubscriber } from '../../shared/protocol/open-subscriber.ts';
import { readRings } from '../../shared/protocol/ring.ts';
import { ask } from './ask.ts';
import { SharedStreams } from './shared-streams.ts';
import { StreamFetcher } from './stream-fetcher.ts';
import type { TokenStreams } from './token-streams.ts';
import { ToldStream } from './told-stream.ts';

/** A ring may be lost, with the connection or with the host that owed it: so long later a stream is read all the same. */
export const LONGEST_WAIT_MS = 5_000;

/**
 * Streams of a long-lived process: hosts tell on one channel what they write for any request of this process, once per step.
 * So a token costs this process neither a command nor a connection. Pub/sub may lose messages, hence the streams are read
 * where something may be missing, see `ToldStream`.
 *
 * @param redis client for commands that do not block; its options are copied for the connection that listens
 * @param id of this process, unlike any other's
 * @throws {DispatchError} `broker` when Redis does not take the subscription
 */
export async function createDoorbellStreams(redis: Redis, id: string): Promise<TokenStreams> {
  const doorbell = doorbellChannel(id);
  const subscriber = openSubscriber(redis, { maxRetriesPerRequest: null, lazyConnect: false });
  const fetcher = new StreamFetcher(redis);
  const open = new Map<string, ToldStream>();
  const shared = new SharedStreams(subscriber, fetcher);
  const allMissed = () => {
    for (const stream of [...open.values()]) stream.missed();
    shared.ringAll();
  };
  // Commands carry their failures; without a listener ioredis would print them as well.
  subscriber.on('error', () => {});
  subscriber.on('message', (channel: string, message: string) => {
    if (channel !== doorbell) {
      shared.ring(channel);
      return;
    }
    try {
      readRings(message, (requestId, beforeId, events) => open.get(requestId)?.tell(beforeId, events));
    } catch {
      // Nobody but hosts speaks here; one of another version may, and its streams are read.
      allMissed();
    }
  });
  try {
    await ask(subscriber.subscribe(doorbell));
  } catch (error) {
    subscriber.disconnect();
    throw error;
  }
  // What is told while it is away is lost: what comes first afterwards must not be taken for all.
  subscriber.on('close', allMissed);
  subscriber.on('ready', allMissed);
  return {
    doorbell,
    longestWaitMs: LONGEST_WAIT_MS,
    open(requestId, signal, channel) {
      if (channel !== undefined) return shared.open(requestId, signal, channel);
      const stream = new ToldStream(requestId, signal, fetcher, () => {
        if (open.get(requestId) === stream) open.delete(requestId);
      });
      open.set(requestId, stream);
      return stream;
    },
    close() {
      subscriber.disconnect();
      for (const stream of [...open.values()]) stream.close();
      shared.close();
    },
  };
}
