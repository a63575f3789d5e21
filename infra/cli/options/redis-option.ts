import { Option } from 'commander';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { requireRedis } from '../../redis/require-redis.ts';

export interface RedisFlags {
  readonly redis?: string;
}

export const redisOption = (): Option =>
  new Option('--redis <url>', 'Redis that the hosts and gateways share').env('REDIS_URL');

/**
 * The Redis of a command that starts none.
 *
 * @throws JanusError when none is given or it does not answer
 */
export async function givenRedis({ redis }: RedisFlags): Promise<string> {
  if (!redis) {
    throw new JanusError(
      'No Redis is given: add --redis redis://host:6379 or set REDIS_URL. `janus up` prints the URL that it uses.',
    );
  }
  await requireRedis(redis);
  return redis;
}
