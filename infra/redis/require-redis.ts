import { JanusError } from '../../shared/errors/janus-error.ts';
import { probeRedis } from './probe-redis.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const URL_SCHEMES = ['redis:', 'rediss:'];

/**
 * @param url `redis://` or `rediss://` (TLS)
 * @throws {JanusError} when the URL is not one of Redis, or nothing usable answers there in time; a password is not shown
 */
export async function requireRedis(url: string, timeoutMs = CONNECT_TIMEOUT_MS): Promise<void> {
  const place = redactPassword(url);
  const reason = await probeRedis(url, timeoutMs);
  if (reason === undefined) return;
  throw new JanusError(
    `Redis at ${place} cannot be used: ${reason}. Check REDIS_URL and the server, or unset REDIS_URL to let Janus start one.`,
  );
}

/**
 * @returns the URL with `***` in place of a password
 * @throws {JanusError} when it is not the URL of a Redis server
 */
export function redactPassword(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !URL_SCHEMES.includes(parsed.protocol)) {
    // What cannot be parsed cannot be redacted, so it is not repeated.
    throw new JanusError(
      'REDIS_URL is not a Redis URL: it must look like redis://user:password@host:6379/0.',
    );
  }
  if (parsed.password !== '') parsed.password = '***';
  return parsed.href;
}
