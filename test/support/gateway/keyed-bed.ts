import type { Redis } from 'ioredis';
import { createKey, type KeySettings } from '../../../functions/gateway/access/key-store.ts';
import { secureBytes } from '../../../functions/gateway/access/key-text.ts';
import {
  type RunningGateway,
  type StartGatewayOptions,
  startGateway,
} from '../../../functions/gateway/node.ts';
import { createGatewayBed, type GatewayBed, MODEL } from './bed.ts';

/** A key that may do everything, but for what `settings` say. */
export async function makeKey(redis: Redis, settings: Partial<KeySettings> = {}): Promise<string> {
  const free = { models: null, requestsPerMinute: null, tokensPerMinute: null };
  const { text } = await createKey(
    redis,
    { name: 'test', class: 'api', ...free, ...settings },
    { nowMs: Date.now(), randomBytes: secureBytes },
  );
  return text;
}

export const bearing = (key: string) => ({ Authorization: `Bearer ${key}` });

export const CHAT = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };

/** A bed with a key, so that requests need one. */
export interface KeyedBed extends GatewayBed {
  readonly makeKey: (settings?: Partial<KeySettings>) => Promise<string>;
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>;
  /** Sends a chat of few tokens. */
  readonly ask: (key: string, fields?: object, init?: RequestInit, address?: string) => Promise<Response>;
  /** A further gateway at the same Redis, closed with the bed. */
  readonly open: (options?: Partial<StartGatewayOptions>) => Promise<string>;
}

export async function createKeyedBed(options: Partial<StartGatewayOptions> = {}): Promise<KeyedBed> {
  const bed = await createGatewayBed(options);
  const further: RunningGateway[] = [];
  await makeKey(bed.redis.client);
  return {
    ...bed,
    makeKey: (settings) => makeKey(bed.redis.client, settings),
    get: (path, headers = {}) => fetch(bed.address + path, { headers }),
    ask: (key, fields = {}, init = {}, address = bed.address) =>
      fetch(`${address}/v1/chat/completions`, {
        method: 'POST',
        headers: bearing(key),
        body: JSON.stringify({ ...CHAT, ...fields }),
        ...init,
      }),
    async open(more = {}) {
      const gateway = await startGateway({
        redisUrl: bed.redis.url,
        host: '127.0.0.1',
        port: 0,
        log: { warn() {}, error() {} },
        ...more,
      });
      further.push(gateway);
      return `http://127.0.0.1:${gateway.port}`;
    },
    async close() {
      await Promise.all(further.map((gateway) => gateway.close(0)));
      await bed.close();
    },
  };
}
