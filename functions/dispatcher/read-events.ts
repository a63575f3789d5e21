import type { Redis } from 'ioredis';
import { tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { Clock } from '../clock.ts';
import { ask } from './ask.ts';
import { DispatchError } from './errors.ts';
import { parseEntry, type TokenStreams } from './token-streams.ts';

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
  /** Channel on which hosts tell of a stream that others may read too; absent where this reader is the only one. */
  readonly doorbell?: string | undefined;
}

export interface ReadDependencies {
  readonly redis: Redis;
  readonly streams: TokenStreams;
  readonly clock: Clock;
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
 * Events of one request in order, from its first on, as one array per read of the stream; an event may come twice. An empty
 * array says that a read waited its full time in vain; it lets the consumer notice that its client has gone. The iteration has no end of
 * its own: the consumer knows how many choices it waits for and leaves.
 *
 * @throws {DispatchError} `queue`, `silence` and `overall` by the timeouts; `broker` when Redis does not answer or has
 *   lost the stream; `busy` when no connection is free
 * @throws the signal's reason when it aborts
 */
export async function* readEvents(
  { redis, streams, clock }: ReadDependencies,
  requestId: string,
  { signal, timeouts, doorbell }: ReadOptions,
): AsyncGenerator<readonly TokenEvent[], never, undefined> {
  const startedMs = clock.nowMs();
  const stream = streams.open(requestId, signal, doorbell);
  let heardMs: number | null = null;
  try {
    while (true) {
      const leftMs = remaining(startedMs, heardMs, clock.nowMs(), timeouts);
      const events = await stream.read(Math.min(streams.longestWaitMs, leftMs));
      if (events.length > 0) heardMs = clock.nowMs();
      else if (heardMs !== null) await checkExists(redis, requestId);
      yield events;
    }
  } finally {
    stream.close();
  }
}

/** Events that were told of a request so far. @throws {DispatchError} `broker` */
export async function readTold(redis: Redis, requestId: string): Promise<readonly TokenEvent[]> {
  const entries = redis.xrange(tokenStreamKey(requestId), '-', '+');
  return (await ask(entries)).map(parseEntry);
}

/** @throws {DispatchError} `broker` where Redis has lost a stream that had entries */
async function checkExists(redis: Redis, requestId: string): Promise<void> {
  const exists = redis.exists(tokenStreamKey(requestId));
  if ((await ask(exists)) === 0) {
    throw new DispatchError('broker', 'Redis lost the answer that was under way');
  }
}
