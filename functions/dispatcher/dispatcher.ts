import type { Redis } from 'ioredis';
import { tokenStreamKey } from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { TokenizationQuestion, TokenizationReply } from '../../shared/protocol/tokenization.ts';
import { type Clock, systemClock } from '../clock.ts';
import { ask } from './ask.ts';
import { BROKER_ANSWER_MS, bounded } from './bounded.ts';
import { cancelRequest } from './cancel.ts';
import { createConnectionPool } from './connections.ts';
import { createLoadReader, type ModelLoad } from './load-reader.ts';
import { createRequestQueues, DEFAULT_PLACE, type QueuePlace } from './queue.ts';
import { type ReadOptions, readEvents, readTold } from './read-events.ts';
import { createBlockingStreams, type TokenStreams } from './token-streams.ts';
import { askTokenizer, type TokenizationOptions } from './tokenization.ts';

/** Carries requests to the pools of their model, and what the pools tell back. */
export interface Dispatcher {
  /**
   * Queues all sequences of one request: same request id, same model. Jobs that name no doorbell are told of on this process'
   * own.
   *
   * @param place default: in order of arrival, before all lines of batches
   * @throws {DispatchError} `broker`; the jobs may then have been queued or not, so cancel the request
   */
  readonly dispatch: (jobs: readonly SequenceJob[], place?: QueuePlace) => Promise<void>;
  /**
   * How busy a model is for requests of one level, as it was within the last moment.
   *
   * @throws {DispatchError} `broker`
   */
  readonly load: (model: string, level: number) => Promise<ModelLoad>;
  /** Events of a request, one array per read of its stream. See `readEvents` in read-events.ts. */
  readonly readEvents: (
    requestId: string,
    options: ReadOptions,
  ) => AsyncGenerator<readonly TokenEvent[], never, undefined>;
  /**
   * Events that were told of a request so far, for who takes it over from another process.
   *
   * @throws {DispatchError} `broker`
   */
  readonly told: (requestId: string) => Promise<readonly TokenEvent[]>;
  /**
   * Tells the pools that nobody waits for a request any more.
   *
   * @returns Unix time in milliseconds, by Redis' clock, of the first cancel of this request
   * @throws {DispatchError} `broker`
   */
  readonly cancel: (requestId: string, model: string) => Promise<number>;
  /**
   * Asks the tokenizer of a model, beside all generations. See `askTokenizer` in tokenization.ts.
   *
   * @throws {DispatchError} `busy`, `queue`, `broker`
   */
  readonly tokenize: (
    question: TokenizationQuestion,
    options: TokenizationOptions,
  ) => Promise<TokenizationReply>;
  /**
   * Drops the events of a request that has ended, rather than leave them until they expire.
   *
   * @throws {DispatchError} `broker`
   */
  readonly forget: (requestId: string) => Promise<void>;
  /**
   * @returns time in milliseconds that Redis took to answer
   * @throws {DispatchError} `broker`
   */
  readonly ping: () => Promise<number>;
  /** Closes queues and token streams, not the client it was made with. */
  readonly close: () => Promise<void>;
}

export interface DispatcherOptions {
  /** Closed with the dispatcher. Default: blocking reads on a pool of connections that copies the client's options. */
  readonly streams?: TokenStreams;
  readonly clock?: Clock;
}

/** @param redis client for commands that do not block; it stays the caller's to close */
export function createDispatcher(redis: Redis, options: DispatcherOptions = {}): Dispatcher {
  const clock = options.clock ?? systemClock;
  const streams = options.streams ?? createBlockingStreams(createConnectionPool(redis));
  const { doorbell } = streams;
  const queues = createRequestQueues(redis);
  return {
    dispatch: (jobs, place = DEFAULT_PLACE) =>
      queues.add(doorbell === undefined ? jobs : jobs.map((job) => ({ doorbell, ...job })), place),
    load: createLoadReader(redis, clock),
    readEvents: (requestId, read) => readEvents({ redis, streams, clock }, requestId, read),
    told: (requestId) => readTold(redis, requestId),
    cancel: (requestId, model) => bounded(cancelRequest(redis, requestId, model), BROKER_ANSWER_MS),
    tokenize: (question, asking) => askTokenizer({ redis, streams, clock }, question, asking),
    async forget(requestId) {
      await ask(redis.unlink(tokenStreamKey(requestId)));
    },
    async ping() {
      const startedMs = clock.nowMs();
      await ask(redis.ping());
      return clock.nowMs() - startedMs;
    },
    async close() {
      streams.close();
      await queues.close();
    },
  };
}
