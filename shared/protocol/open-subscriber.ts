import type { Redis, RedisOptions } from 'ioredis';

/**
 * A connection like `redis` for subscriptions. When it reconnects, ioredis subscribes anew by itself and leaves the promise of that to
 * nobody: if the connection is closed meanwhile, the rejection would end the process.
 */
export function openSubscriber(redis: Redis, options: Partial<RedisOptions> = {}): Redis {
  const subscriber = redis.duplicate(options);
  const subscribe = subscriber.subscribe.bind(subscriber) as (...channels: unknown[]) => Promise<unknown>;
  subscriber.subscribe = (...channels: unknown[]): Promise<unknown> => {
    const subscribed = subscribe(...channels);
    // Whoever awaits it is told all the same.
    subscribed.catch(() => {});
    return subscribed;
  };
  return subscriber;
}
