import type { Redis } from 'ioredis';
import { accessKeysKey } from '../../../shared/protocol/keys.ts';
import { type Clock, systemClock } from '../../clock.ts';
import { ask } from '../../dispatcher/ask.ts';
import { missingKey, wrongClass, wrongKey } from './access-errors.ts';
import type { AccessKey, KeyClass } from './access-key.ts';
import { digestOf, sameDigest } from './digest.ts';
import { anyKeyExists, readKey } from './key-store.ts';
import { parseKey } from './key-text.ts';
import { createRateLimiter, type RateLimiter } from './rate-limiter.ts';
import { createTimedCache } from './timed-cache.ts';

/**
 * How long a gateway may not notice that a key was revoked, or that the first one was created, in milliseconds. While
 * Redis is away, what it said last holds: nothing can be revoked then, and nothing but `/metrics` answers.
 */
export const KEY_CACHE_MS = 1_000;

/** Who may use the gateway, and how much. */
export interface Access {
  /**
   * @param authorization the request's header of that name
   * @param wanted class of keys that the address needs
   * @returns the sender's key; null where none is needed
   * @throws {RequestError} 401 when the key is missing, wrong or revoked, 403 when it is of another class
   * @throws {DispatchError} `broker`
   */
  readonly admit: (authorization: string | undefined, wanted: KeyClass) => Promise<AccessKey | null>;
  readonly limiter: RateLimiter;
}

export interface AccessOptions {
  /** True: no key is needed where none exists. False: without a key nobody gets in. */
  readonly anonymous: boolean;
  readonly clock?: Clock;
}

const bearerToken = (authorization: string): string | undefined =>
  /^Bearer +(\S+)$/i.exec(authorization.trim())?.[1];

export function createAccess(redis: Redis, { anonymous, clock = systemClock }: AccessOptions): Access {
  const caching = { cacheMs: KEY_CACHE_MS, clock };
  const findKey = createTimedCache((id) => ask(readKey(redis, id)), caching);
  const findAnyKey = createTimedCache(() => ask(anyKeyExists(redis)), caching);
  const keyIsNeeded = async (): Promise<boolean> => !anonymous || (await findAnyKey(accessKeysKey)) !== false;

  const identify = async (authorization: string | undefined): Promise<AccessKey> => {
    if (authorization === undefined) throw missingKey();
    const parts = parseKey(bearerToken(authorization) ?? '');
    if (parts === undefined) throw wrongKey();
    const [key, digest] = await Promise.all([findKey(parts.id), digestOf(parts.secret)]);
    if (key === undefined || !sameDigest(key.digest, digest) || key.revokedAtMs !== null) throw wrongKey();
    return key;
  };

  return {
    async admit(authorization, wanted) {
      if (!(await keyIsNeeded())) return null;
      const key = await identify(authorization);
      if (key.class !== wanted) throw wrongClass(wanted);
      return key;
    },
    limiter: createRateLimiter(redis),
  };
}
