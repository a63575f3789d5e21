import { afterAll, beforeAll } from 'vitest';
import { type RunningGateway, startGateway } from '../../functions/gateway/node.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { useRedis } from './redis.ts';
import { startTestHost } from './test-host.ts';

/**
 * Gives the tests of a file (or of the enclosing `describe`) the shipped model behind a gateway.
 *
 * @returns the host, and the gateway's address without a slash at its end; to be read inside tests and hooks
 */
export function useServedModel(): { readonly host: Host; readonly address: string } {
  const redis = useRedis();
  let host: Host;
  let gateway: RunningGateway;
  beforeAll(async () => {
    host = await startTestHost(redis.url);
    gateway = await startGateway({ redisUrl: redis.url, host: '127.0.0.1', port: 0 });
  });
  afterAll(async () => {
    await gateway.close();
    await host.close();
  });
  return {
    get host() {
      return host;
    },
    get address() {
      return `http://127.0.0.1:${gateway.port}`;
    },
  };
}
