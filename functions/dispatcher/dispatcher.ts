import type { Redis } from 'ioredis';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { type Clock, systemClock } from '../clock.ts';
import { asBrokerFault, BROKER_ANSWER_MS, bounded } from './bounded.ts';
import { cancelRequest } from './cancel.ts';
import { type BlockingConnections, createConnectionPool } from './connections.ts';
import { createRequestQueues } from './queue.ts';
import { type ReadOptions, readEvents } from './read-events.ts';

/** Carries requests to the pools of their model, and what the pools tell back. */
export interface Dispatcher {
  /**
   * Queues all sequences of one request: same request id, same model.
   *
   * @throws {DispatchError} `broker`; the jobs may then have been queued or not, so cancel the request
   */
  readonly dispatch: (jobs: readonly SequenceJob[]) => Promise<void>;
  /** Events of a request, one array per read of its stream. See `readEvents` in read-events.ts. */
  readonly readEvents: (
    requestId: string,
    options: ReadOptions,
  ) => AsyncGenerator<readonly TokenEvent[], never, undefined>;
  /**
   * Tells the pools that nobody waits for a request any more.
   *
   * @returns Unix time in milliseconds, by Redis' clock, of the first cancel of this request
   * @throws {DispatchError} `broker`
   */
  readonly cancel: (requestId: string, model: string) => Promise<number>;
  /**
   * @returns time in milliseconds that Redis took to answer
   * @throws {DispatchError} `broker`
   */
  readonly ping: () => Promise<number>;
  /** Closes queues and blocking connections, not the client it was made with. */
  readonly close: () => Promise<void>;
}

export interface DispatcherOptions {
  /** Default: a pool that copies the client's options. */
  readonly connections?: BlockingConnections;
  readonly clock?: Clock;
}

/** @param redis client for commands that do not block; it stays the caller's to close */
export function createDispatcher(redis: Redis, options: DispatcherOptions = {}): Dispatcher {
  const clock = options.clock ?? systemClock;
  const connections = options.connections ?? createConnectionPool(redis);
  const queues = createRequestQueues(redis);
  return {
    dispatch: queues.add,
    readEvents: (requestId, read) => readEvents({ redis, connections, clock }, requestId, read),
    cancel: (requestId, model) => bounded(cancelRequest(redis, requestId, model), BROKER_ANSWER_MS),
    async ping() {
      const startedMs = clock.nowMs();
      await bounded(asBrokerFault(redis.ping()), BROKER_ANSWER_MS);
      return clock.nowMs() - startedMs;
    },
    async close() {
      connections.close();
      await queues.close();
    },
  };
}
