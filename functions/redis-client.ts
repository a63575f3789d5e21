import { Redis } from 'ioredis';
import { JanusError } from '../shared/errors/janus-error.ts';
import { checkRedisUrl, redactRedisUrl } from './redis-url.ts';

/** Longest wait for a first connection, in milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;
/**
 * A command survives this many attempts to reconnect, and these are at most this far apart, in milliseconds: a short
 * break goes unnoticed, and in a long one requests fail within a second rather than hang.
 */
const RETRIES_PER_REQUEST = 2;
const MAX_RECONNECT_DELAY_MS = 300;

const OPTIONS = {
  lazyConnect: true,
  connectTimeout: CONNECT_TIMEOUT_MS,
  maxRetriesPerRequest: RETRIES_PER_REQUEST,
  retryStrategy: (attempt: number) => Math.min(attempt * 50, MAX_RECONNECT_DELAY_MS),
};

/**
 * A client that connects when it is first asked for something, for who may need none.
 *
 * @param onError told of lost connections
 * @throws {JanusError} when the address is not a URL of Redis
 */
export function openRedis(url: string, onError: (error: unknown) => void): Redis {
  checkRedisUrl(url);
  const redis = new Redis(url, OPTIONS);
  redis.on('error', onError);
  return redis;
}

/**
 * Connects to Redis. Once connected, the client reconnects by itself for as long as it lives.
 *
 * @param onError told of lost connections
 * @throws {JanusError} naming the address, without its password, when Redis cannot be reached
 */
export async function connectRedis(url: string, onError: (error: unknown) => void): Promise<Redis> {
  checkRedisUrl(url);
  const redis = new Redis(url, OPTIONS);
  let cause: unknown;
  const keepCause = (error: unknown) => {
    cause ??= error;
  };
  redis.on('error', keepCause);
  try {
    await redis.connect();
    // A wrong password shows at the first command only.
    await redis.ping();
  } catch (error) {
    redis.disconnect();
    const why = cause ?? error;
    const reason = why instanceof Error ? why.message : String(why);
    throw new JanusError(
      `Redis at ${redactRedisUrl(url)} cannot be reached (${reason}): start it, or set REDIS_URL to where it runs`,
    );
  }
  redis.off('error', keepCause);
  redis.on('error', onError);
  return redis;
}
