import { Redis } from 'ioredis';
import { givenRedis, type RedisFlags } from './options/redis-option.ts';

/** Connects to the Redis of a command that starts none, for as long as `run` takes. @throws JanusError as `givenRedis` does */
export async function withRedis(flags: RedisFlags, run: (redis: Redis) => Promise<void>): Promise<void> {
  const redis = new Redis(await givenRedis(flags));
  try {
    await run(redis);
  } finally {
    redis.disconnect();
  }
}
