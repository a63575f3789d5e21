import { afterAll, beforeAll } from 'vitest';
import { type LocalRedis, startLocalRedis } from '../../infra/redis/local-redis.ts';

/**
 * Gives the tests of a file (or of the enclosing `describe`) a Redis server of their own, so that files can run at the same
 * time and may stop it.
 *
 * @returns the server's address, to be read inside tests and hooks
 */
export function useRedis(): Pick<LocalRedis, 'url' | 'socketPath'> {
  let redis: LocalRedis | undefined;
  const started = (): LocalRedis => {
    if (redis === undefined) throw new Error('useRedis(): the server runs during tests and hooks only.');
    return redis;
  };
  beforeAll(async () => {
    redis = await startLocalRedis();
  });
  afterAll(async () => {
    await redis?.stop();
  });
  return {
    get url() {
      return started().url;
    },
    get socketPath() {
      return started().socketPath;
    },
  };
}
