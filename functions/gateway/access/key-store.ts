import type { Redis } from 'ioredis';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { accessKeyKey, accessKeysKey } from '../../../shared/protocol/keys.ts';
import { type AccessKey, fromFields, REVOKED_FIELD, toFields } from './access-key.ts';
import { digestOf } from './digest.ts';
import { drawKey, formatKey, type RandomBytes } from './key-text.ts';

/** Keys that one Redis holds, revoked ones with them until they are forgotten. */
export const MAX_KEYS = 10_000;
/** A revoked key is shown in lists for this long, then forgotten. */
export const REVOKED_TTL_MS = 30 * 24 * 60 * 60_000;

/**
 * Revokes one key, once.
 *
 * KEYS 1 hash of the key. ARGV 1 name of the field, 2 Unix time in ms, 3 time in ms after which the hash is forgotten.
 * Returns `unknown`, `revoked`, or `already` where it had been revoked before, which changes nothing.
 */
const REVOKE = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 'unknown' end
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 'already' end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'revoked'
`;

export type Revocation = 'unknown' | 'revoked' | 'already';

/** What whoever creates a key decides. */
export type KeySettings = Pick<
  AccessKey,
  'name' | 'class' | 'models' | 'requestsPerMinute' | 'tokensPerMinute' | 'goesFirst'
>;

export interface CreatedKey {
  readonly key: AccessKey;
  /** The key with its secret, which is kept nowhere. */
  readonly text: string;
}

/**
 * Makes a key, known to all gateways from now on.
 *
 * @throws {JanusError} when there are as many as may be
 */
export async function createKey(
  redis: Redis,
  settings: KeySettings,
  { nowMs, randomBytes }: { readonly nowMs: number; readonly randomBytes: RandomBytes },
): Promise<CreatedKey> {
  const { held, forgotten } = await readAll(redis);
  if (held.length >= MAX_KEYS) {
    throw new JanusError(
      `There are ${MAX_KEYS} API keys, and no more are kept: revoke some with \`janus keys revoke <id>\`; they are ` +
        'forgotten after 30 days.',
    );
  }
  const { id, secret } = drawKey(randomBytes);
  const digest = await digestOf(secret);
  const key: AccessKey = { ...settings, id, digest, createdAtMs: nowMs, revokedAtMs: null };
  // The set never becomes empty, not for a moment: an empty one would open the gateways.
  const writes = redis.multi().hset(accessKeyKey(id), toFields(key)).sadd(accessKeysKey, id);
  if (forgotten.length > 0) writes.srem(accessKeysKey, ...forgotten);
  for (const [error] of (await writes.exec()) ?? []) {
    if (error !== null) throw error;
  }
  return { key, text: formatKey({ id, secret }) };
}

/** All keys, oldest first, with those that were revoked of late. */
export async function listKeys(redis: Redis): Promise<readonly AccessKey[]> {
  const { held } = await readAll(redis);
  return held.sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
}

export const revokeKey = async (redis: Redis, id: string, nowMs: number): Promise<Revocation> =>
  (await redis.eval(REVOKE, 1, accessKeyKey(id), REVOKED_FIELD, nowMs, REVOKED_TTL_MS)) as Revocation;

export const readKey = async (redis: Redis, id: string): Promise<AccessKey | undefined> =>
  fromFields(id, await redis.hgetall(accessKeyKey(id)));

/** Whether any key was ever created: the set keeps the last one's id, though the key may be revoked and forgotten. */
export const anyKeyExists = async (redis: Redis): Promise<boolean> =>
  (await redis.exists(accessKeysKey)) === 1;

async function readAll(redis: Redis): Promise<{ held: AccessKey[]; forgotten: string[] }> {
  const ids = await redis.smembers(accessKeysKey);
  const keys = await Promise.all(ids.map((id) => readKey(redis, id)));
  return {
    held: keys.filter((key) => key !== undefined),
    forgotten: ids.filter((_, index) => keys[index] === undefined),
  };
}
