import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { ask } from '../../dispatcher/ask.ts';
import type { AccessKey } from '../../gateway/access/access-key.ts';
import type { Settle } from '../../gateway/access/charge.ts';
import { readKey } from '../../gateway/access/key-store.ts';
import { createRateLimiter, type RateLimiter } from '../../gateway/access/rate-limiter.ts';

/** Of a key's tokens per minute, batches leave the rest to requests that somebody waits for. */
export const BATCH_TOKEN_SHARE = 0.5;
/** How often a line looks whether there are tokens again, at least, in milliseconds: requests give back what they did not use. */
const LONGEST_WAIT_MS = 1_000;

/** What the lines of one batch take from the tokens per minute of their sender's key. */
export interface LineBudget {
  /**
   * Waits, in the order of the calls, until the tokens are there; a line that wants more than there can ever be takes all.
   *
   * @param tokens estimate; corrected by what is returned
   * @throws {DispatchError} `broker`
   * @throws the signal's reason when it aborts
   */
  readonly take: (tokens: number, signal: AbortSignal) => Promise<Settle>;
}

const UNBOUNDED: LineBudget = { take: async () => async () => {} };

function createBudget(limiter: RateLimiter, key: AccessKey, tokensPerMinute: number): LineBudget {
  const most = Math.max(1, Math.floor(tokensPerMinute * BATCH_TOKEN_SHARE));
  // Lines are no requests of their own: of these somebody made one, the batch.
  const share = { ...key, requestsPerMinute: null, tokensPerMinute: most };
  let turn: Promise<unknown> = Promise.resolve();

  const wait = async (tokens: number, signal: AbortSignal): Promise<Settle> => {
    for (;;) {
      signal.throwIfAborted();
      const { refused, waitMs, settle } = await limiter.take(share, Math.min(tokens, most));
      if (refused === null) return settle;
      await sleep(Math.min(waitMs, LONGEST_WAIT_MS), undefined, { signal });
    }
  };

  return {
    take(tokens, signal) {
      // One at a time asks: however many lines wait, Redis hears of one.
      const taking = turn.then(() => wait(tokens, signal));
      turn = taking.catch(() => {});
      return taking;
    },
  };
}

/**
 * The budget of a batch, by the limits that its sender's key has now.
 *
 * @param owner id of the key; of a batch that was sent without one there is none
 * @throws {DispatchError} `broker`
 */
export async function openLineBudget(redis: Redis, owner: string): Promise<LineBudget> {
  const key = await ask(readKey(redis, owner));
  if (key === undefined || key.tokensPerMinute === null) return UNBOUNDED;
  return createBudget(createRateLimiter(redis), key, key.tokensPerMinute);
}
