import type { Redis } from 'ioredis';
import { keyRequestsKey, keyTokensKey } from '../../../shared/protocol/keys.ts';
import { ask } from '../../dispatcher/ask.ts';
import type { AccessKey } from './access-key.ts';
import { correctTaken, takeAll } from './rate-scripts.ts';

/** Limits are per minute. */
const WINDOW_S = 60;
const MS_PER_S = 1_000;

export type LimitKind = 'requests' | 'tokens';

/** One limit of a key after a request asked for its share of it. */
export interface LimitState {
  readonly kind: LimitKind;
  readonly limit: number;
  /** With the request's own share, where it was granted. */
  readonly used: number;
  /** What the request asked for. */
  readonly amount: number;
  /** Time until nothing counts any more of what was used, in milliseconds. */
  readonly resetMs: number;
}

/** What became of a request's demand. */
export interface Taking {
  /** State of each limit that the key has. */
  readonly limits: readonly LimitState[];
  /** The limit that refused the request; null: it was granted. */
  readonly refused: LimitState | null;
  /** Time after which the same demand may be granted, in milliseconds. */
  readonly waitMs: number;
  readonly windowMs: number;
  /** Corrects the tokens, once, when it is known how many were used. @throws {DispatchError} `broker` */
  readonly settle: (spentTokens: number) => Promise<void>;
}

/** Keeps the limits of all keys, for all gateways together. */
export interface RateLimiter {
  /**
   * Takes one request and `tokens` tokens, or nothing at all.
   *
   * @throws {DispatchError} `broker`
   */
  readonly take: (key: AccessKey, tokens: number) => Promise<Taking>;
}

/** Demands on the limits that the key has. */
function demandsOf(key: AccessKey, tokens: number) {
  const { id, requestsPerMinute, tokensPerMinute } = key;
  const demands: { kind: LimitKind; redisKey: string; limit: number; amount: number }[] = [];
  if (requestsPerMinute !== null) {
    demands.push({ kind: 'requests', redisKey: keyRequestsKey(id), limit: requestsPerMinute, amount: 1 });
  }
  if (tokensPerMinute !== null) {
    demands.push({ kind: 'tokens', redisKey: keyTokensKey(id), limit: tokensPerMinute, amount: tokens });
  }
  return demands;
}

/** @param windowS length of the window over which a limit holds, in seconds */
export function createRateLimiter(redis: Redis, windowS = WINDOW_S): RateLimiter {
  const windowMs = windowS * MS_PER_S;

  return {
    async take(key, tokens) {
      const demands = demandsOf(key, tokens);
      if (demands.length === 0) {
        return { limits: [], refused: null, waitMs: 0, windowMs, settle: async () => {} };
      }
      const { refused, second, waitMs, states } = await ask(takeAll(redis, windowS, demands));
      const limits = demands.map(({ kind, limit, amount }, index) => ({
        kind,
        limit,
        amount,
        ...states[index],
      }));
      const counted = demands.find(({ kind }) => kind === 'tokens');
      return {
        limits,
        refused: limits[refused] ?? null,
        waitMs,
        windowMs,
        async settle(spentTokens) {
          const difference = spentTokens - tokens;
          if (counted === undefined || difference === 0) return;
          await ask(correctTaken(redis, windowS, { redisKey: counted.redisKey, second, difference }));
        },
      };
    },
  };
}
