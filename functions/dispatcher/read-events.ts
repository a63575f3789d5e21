import type { Redis } from 'ioredis';
import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { Clock } from '../clock.ts';
import { asBrokerFault, BROKER_ANSWER_MS, bounded } from './bounded.ts';
import type { BlockingConnections } from './connections.ts';
import { DispatchError } from './errors.ts';

/** Longest wait of one read. On Cloudflare Workers a client that left shows only when something is written to it. */
export const READ_BLOCK_MS = 2_000;
/** Most entries that one read takes. */
const READ_COUNT = 512;

export interface ReadTimeouts {
  /** From the first read to the first event, in milliseconds. */
  readonly queueWaitMs: number;
  /** Between two events, in milliseconds. */
  readonly silenceMs: number;
  /** From the first read to the last event, in milliseconds. */
  readonly overallMs: number;
}

export interface ReadOptions {
  readonly signal: AbortSignal;
  readonly timeouts: ReadTimeouts;
}

export interface ReadDependencies {
  readonly redis: Redis;
  readonly connections: BlockingConnections;
  readonly clock: Clock;
}

type StreamEntry = [id: string, fields: string[]];

function parseEntry([id, fields]: StreamEntry): TokenEvent {
  const at = fields.indexOf(TOKEN_STREAM_FIELD);
  if (at < 0) throw new Error(`Entry ${id} of a token stream has no field "${TOKEN_STREAM_FIELD}"`);
  return JSON.parse(fields[at + 1]) as TokenEvent;
}

/** Time that is left, and what to say when none is. */
function remaining(startedMs: number, heardMs: number | null, nowMs: number, timeouts: ReadTimeouts): number {
  const overall = startedMs + timeouts.overallMs - nowMs;
  const next = (heardMs === null ? startedMs + timeouts.queueWaitMs : heardMs + timeouts.silenceMs) - nowMs;
  if (overall <= 0) throw new DispatchError('overall', 'The request took longer than any request may');
  if (next > 0) return Math.min(overall, next);
  if (heardMs === null) throw new DispatchError('queue', 'No instance took the request in time');
  throw new DispatchError('silence', 'The instance that generates the answer fell silent');
}

/**
 * Events of one request in order, from its first on, as one array per read of the stream. An empty array says that a
 * read waited its full time in vain; it lets the consumer notice that its client has gone. The iteration has no end of
 * its own: the consumer knows how many choices it waits for and leaves.
 *
 * @throws {DispatchError} `queue`, `silence` and `overall` by the timeouts; `broker` when Redis does not answer or has
 *   lost the stream; `busy` when no connection is free
 * @throws the signal's reason when it aborts
 */
export async function* readEvents(
  { redis, connections, clock }: ReadDependencies,
  requestId: string,
  { signal, timeouts }: ReadOptions,
): AsyncGenerator<readonly TokenEvent[], never, undefined> {
  const key = tokenStreamKey(requestId);
  const startedMs = clock.nowMs();
  let heardMs: number | null = null;
  let lastId = '0';

  const read = async (blockMs: number): Promise<StreamEntry[]> => {
    const reply = connections.run(async (connection) => {
      // The request may have ended while it waited for the connection.
      if (signal.aborted) return null;
      return connection.xread('COUNT', READ_COUNT, 'BLOCK', blockMs, 'STREAMS', key, lastId);
    });
    return (await asBrokerFault(reply))?.[0]?.[1] ?? [];
  };

  while (true) {
    const leftMs = remaining(startedMs, heardMs, clock.nowMs(), timeouts);
    // BLOCK 0 would wait for ever.
    const blockMs = Math.max(1, Math.min(READ_BLOCK_MS, Math.ceil(leftMs)));
    const entries = await bounded(read(blockMs), blockMs + BROKER_ANSWER_MS, signal);
    if (entries.length > 0) {
      heardMs = clock.nowMs();
      lastId = entries[entries.length - 1][0];
    } else if (
      heardMs !== null &&
      (await bounded(asBrokerFault(redis.exists(key)), BROKER_ANSWER_MS)) === 0
    ) {
      throw new DispatchError('broker', 'Redis lost the answer that was under way');
    }
    yield entries.map(parseEntry);
  }
}
