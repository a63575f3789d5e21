import { tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { BlockingConnections } from './connections.ts';

/** Most entries that one read of a stream takes: what the gateway holds of an answer whose client is slower than the pool. */
export const READ_COUNT = 128;
/** On Cloudflare Workers a client that left shows only when something is written to it, so reads do not wait longer. */
const LONGEST_BLOCK_MS = 2_000;

export type StreamEntry = readonly [id: string, fields: readonly string[]];

/** The token stream of one request, read by one reader. */
export interface TokenStream {
  /**
   * Entries behind `afterId` ('0': from the first on), as soon as there are any; none when `waitMs` passed in vain.
   *
   * @throws {DispatchError} `busy` when too many wait for Redis already
   * @throws what Redis answered when it refuses the read
   */
  read(afterId: string, waitMs: number, signal: AbortSignal): Promise<readonly StreamEntry[]>;
  /** Ends a wait under way. */
  close(): void;
}

/** Ways to hear of new entries in token streams, of any number of requests at once. */
export interface TokenStreams {
  /** Channel on which hosts are to tell of new entries; absent where nobody listens. */
  readonly doorbell?: string;
  /** Longest wait of a single read, in milliseconds. */
  readonly longestWaitMs: number;
  open(requestId: string): TokenStream;
  close(): void;
}

/**
 * Reads that wait in Redis, each on a connection of its own: what is possible where no connection may outlive a request
 * (Cloudflare Workers).
 */
export function createBlockingStreams(connections: BlockingConnections): TokenStreams {
  return {
    longestWaitMs: LONGEST_BLOCK_MS,
    open(requestId) {
      const key = tokenStreamKey(requestId);
      return {
        async read(afterId, waitMs, signal) {
          // BLOCK 0 would wait for ever.
          const blockMs = Math.max(1, Math.ceil(waitMs));
          const reply = await connections.run(async (connection) => {
            // The request may have ended while it waited for the connection.
            if (signal.aborted) return null;
            return connection.xread('COUNT', READ_COUNT, 'BLOCK', blockMs, 'STREAMS', key, afterId);
          });
          return reply?.[0]?.[1] ?? [];
        },
        close() {},
      };
    },
    close: connections.close,
  };
}
