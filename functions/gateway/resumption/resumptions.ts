import type { Redis } from 'ioredis';
import {
  cancelledKey,
  resumableKey,
  resumableLeasesKey,
  TOKEN_STREAM_TTL_S,
} from '../../../shared/protocol/keys.ts';
import { ask } from '../../dispatcher/ask.ts';
import type { Dispatcher } from '../../dispatcher/dispatcher.ts';
import { ClientGoneError, RequestError, unavailable } from '../errors.ts';
import type { GatewayLimits } from '../limits.ts';
import { KEEP, RENEW, TAKE_OVERDUE } from './lease-scripts.ts';
import type { ResumableAnswer } from './resumable-answer.ts';

/** Readers renew their lease this often within the time for which an answer waits for one. */
const RENEWALS_PER_GRACE = 3;
/** A reader that is late by less than that has not left. */
const LATE_READER_MS = 10_000;
/** Answers that one look at the leases cancels. */
const CANCELLED_AT_ONCE = 64;
/** After so long another gateway cancels what one that died has taken to cancel. */
const RETRY_CANCEL_MS = 60_000;

/** A reader's hold on an answer, which is not cancelled meanwhile. */
export interface AnswerHold {
  /** Ends it, once. @param reason why the reader stopped before the answer's end; null where it has read it all */
  readonly release: (reason: unknown) => Promise<void>;
}

/** Answers whose clients may come back to them. */
export interface Resumptions {
  /**
   * Keeps a new answer, for who comes back to it while its token stream lasts.
   *
   * @throws {RequestError} 503 when as many as may are under way
   * @throws {DispatchError} `broker`
   */
  readonly keep: (answer: ResumableAnswer) => Promise<AnswerHold>;
  /** @throws {DispatchError} `broker` */
  readonly find: (requestId: string) => Promise<ResumableAnswer | undefined>;
  /** A further reader of an answer that is kept. @throws {DispatchError} `broker` */
  readonly hold: (answer: ResumableAnswer) => Promise<AnswerHold>;
  /** Whether a request was cancelled. @throws {DispatchError} `broker` */
  readonly isCancelled: (requestId: string) => Promise<boolean>;
  /** Cancels those that nobody has read for as long as they may wait. @throws {DispatchError} `broker` */
  readonly cancelAbandoned: () => Promise<void>;
}

export type ResumptionLimits = Pick<GatewayLimits, 'resumeGraceMs' | 'resumableStreams'>;

/** Whether a reader stopped for a reason that lets another one go on. */
const leavesAnswer = (reason: unknown): boolean =>
  reason instanceof ClientGoneError ||
  (reason instanceof RequestError && reason.failure.code === 'shutting_down');

const memberOf = ({ head }: ResumableAnswer): string => `${head.requestId} ${head.model}`;

export function createResumptions(
  redis: Redis,
  dispatcher: Pick<Dispatcher, 'cancel'>,
  { resumeGraceMs, resumableStreams }: ResumptionLimits,
): Resumptions {
  const leaseMs = resumeGraceMs + LATE_READER_MS;
  const renew = (answer: ResumableAnswer, lifeMs = leaseMs) =>
    ask(redis.eval(RENEW, 1, resumableLeasesKey, memberOf(answer), lifeMs));

  const end = async (answer: ResumableAnswer): Promise<void> => {
    await ask(redis.zrem(resumableLeasesKey, memberOf(answer)));
    // The token stream, too, lives on for so long after its last event.
    await ask(redis.expire(resumableKey(answer.head.requestId), TOKEN_STREAM_TTL_S));
  };

  const holdOn = (answer: ResumableAnswer): AnswerHold => {
    // What Redis does not take is tried again soon enough.
    const renewal = setInterval(() => void renew(answer).catch(() => {}), resumeGraceMs / RENEWALS_PER_GRACE);
    return {
      async release(reason) {
        clearInterval(renewal);
        if (leavesAnswer(reason)) {
          await renew(answer, resumeGraceMs);
          return;
        }
        if (reason !== null) await dispatcher.cancel(answer.head.requestId, answer.head.model);
        await end(answer);
      },
    };
  };

  return {
    async keep(answer) {
      const keys = [resumableLeasesKey, resumableKey(answer.head.requestId)];
      const record = JSON.stringify(answer);
      const bounds = [TOKEN_STREAM_TTL_S, resumableStreams];
      const kept = await ask(
        redis.eval(KEEP, keys.length, ...keys, memberOf(answer), leaseMs, record, ...bounds),
      );
      if (kept === 1) return holdOn(answer);
      throw unavailable(
        'overloaded',
        `${resumableStreams} resumable streams are under way already; try again, or without x-resumable`,
      );
    },
    async find(requestId) {
      const record = await ask(redis.get(resumableKey(requestId)));
      return record === null ? undefined : (JSON.parse(record) as ResumableAnswer);
    },
    async hold(answer) {
      await renew(answer);
      return holdOn(answer);
    },
    isCancelled: async (requestId) => (await ask(redis.exists(cancelledKey(requestId)))) === 1,
    async cancelAbandoned() {
      const taken = redis.eval(TAKE_OVERDUE, 1, resumableLeasesKey, CANCELLED_AT_ONCE, RETRY_CANCEL_MS);
      for (const member of (await ask(taken)) as string[]) {
        const space = member.indexOf(' ');
        await dispatcher.cancel(member.slice(0, space), member.slice(space + 1));
        await ask(redis.zrem(resumableLeasesKey, member));
      }
    },
  };
}

/** Longest time between two looks for answers that nobody came back to. */
const LOOK_EVERY_MS = 1_000;

/**
 * Looks for abandoned answers from now on.
 *
 * @returns ends it
 */
export function watchAbandoned(
  { cancelAbandoned }: Resumptions,
  { resumeGraceMs }: ResumptionLimits,
): () => void {
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    // While Redis is away nothing can be cancelled; the leases are still there afterwards.
    await cancelAbandoned().catch(() => {});
    isLooking = false;
  };
  const timer = setInterval(() => void look(), Math.min(LOOK_EVERY_MS, resumeGraceMs));
  timer.unref();
  return () => clearInterval(timer);
}
