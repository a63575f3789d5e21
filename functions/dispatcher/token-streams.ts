import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { asBrokerFault, BROKER_ANSWER_MS, bounded } from './bounded.ts';
import type { BlockingConnections } from './connections.ts';

/** Most entries that one read of a stream takes: what the gateway holds of an answer whose client is slower than the pool. */
export const READ_COUNT = 128;
/** On Cloudflare Workers a client that left shows only when something is written to it, so reads do not wait longer. */
const LONGEST_BLOCK_MS = 2_000;

export type StreamEntry = readonly [id: string, fields: readonly string[]];

/** The event that an entry of a token stream holds. */
export function parseEntry([id, fields]: StreamEntry): TokenEvent {
  const at = fields.indexOf(TOKEN_STREAM_FIELD);
  if (at < 0) throw new Error(`Entry ${id} of a token stream has no field "${TOKEN_STREAM_FIELD}"`);
  return JSON.parse(fields[at + 1]!) as TokenEvent;
}

/** The token stream of one request, read by one reader, from its first event on. */
export interface TokenStream {
  /**
   * Events that were not read yet, as soon as there are any, in order; none when `waitMs` passed in vain. An event may come
   * twice, but none is left out.
   *
   * @throws {DispatchError} `busy` when too many wait for Redis already, `broker` when it does not answer
   * @throws the signal's reason when it aborts
   */
  read(waitMs: number): Promise<readonly TokenEvent[]>;
  /** Ends a wait under way, which then brings nothing. */
  close(): void;
}

/** Ways to hear of new entries in token streams, of any number of requests at once. */
export interface TokenStreams {
  /** Channel on which hosts are to tell what they write; absent where nobody listens. */
  readonly doorbell?: string;
  /** Longest wait of a single read, in milliseconds. */
  readonly longestWaitMs: number;
  /** @param channel on which hosts tell of a stream that others may read too; absent where this reader is the only one */
  open(requestId: string, signal: AbortSignal, channel?: string): TokenStream;
  close(): void;
}

/**
 * Reads that wait in Redis, each on a connection of its own: what is possible where no connection may outlive a request
 * (Cloudflare Workers).
 */
export function createBlockingStreams(connections: BlockingConnections): TokenStreams {
  return {
    longestWaitMs: LONGEST_BLOCK_MS,
    open(requestId, signal) {
      const key = tokenStreamKey(requestId);
      let lastId = '0';
      const blockingRead = (waitMs: number) =>
        connections.run(async (connection) => {
          // The request may have ended while it waited for the connection.
          if (signal.aborted) return null;
          // BLOCK 0 would wait for ever.
          const blockMs = Math.max(1, Math.ceil(waitMs));
          return connection.xread('COUNT', READ_COUNT, 'BLOCK', blockMs, 'STREAMS', key, lastId);
        });
      return {
        async read(waitMs) {
          const reply = await bounded(asBrokerFault(blockingRead(waitMs)), waitMs + BROKER_ANSWER_MS, signal);
          const entries: readonly StreamEntry[] = reply?.[0]?.[1] ?? [];
          lastId = entries.at(-1)?.[0] ?? lastId;
          return entries.map(parseEntry);
        },
        close() {},
      };
    },
    close: connections.close,
  };
}
