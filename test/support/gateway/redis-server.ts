import { Redis } from 'ioredis';
import { startLocalRedis } from '../../../infra/redis/local-redis.ts';

export { findFreePort as freePort } from '../../../infra/redis/local-redis.ts';

export interface TestRedis {
  readonly url: string;
  readonly port: number;
  readonly client: Redis;
  readonly stop: () => Promise<void>;
}

/** Starts a Redis server of its own that keeps nothing; on `port` where a test needs it back at the same address. */
export async function startRedis(port?: number): Promise<TestRedis> {
  const server = await startLocalRedis(port === undefined ? {} : { port });
  const client = new Redis(server.url, { maxRetriesPerRequest: null });
  client.on('error', () => {});
  return {
    url: server.url,
    port: Number(new URL(server.url).port),
    client,
    async stop() {
      client.disconnect();
      await server.stop();
    },
  };
}
