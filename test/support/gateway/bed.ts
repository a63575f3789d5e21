import {
  type RunningGateway,
  type StartGatewayOptions,
  startGateway,
} from '../../../functions/gateway/node.ts';
import { startRedis, type TestRedis } from './redis-server.ts';
import { type ScriptedPool, startScriptedPool } from './scripted-pool.ts';

export const MODEL = 'test-model';

export interface GatewayBed {
  readonly redis: TestRedis;
  readonly pool: ScriptedPool;
  readonly gateway: RunningGateway;
  /** Address of the gateway without a slash at its end. */
  readonly address: string;
  readonly post: (path: string, body: unknown, init?: RequestInit) => Promise<Response>;
  readonly close: () => Promise<void>;
}

/** A listening gateway, a Redis server and a scripted pool of `MODEL`. */
export async function createGatewayBed(options: Partial<StartGatewayOptions> = {}): Promise<GatewayBed> {
  const redis = await startRedis();
  const pool = await startScriptedPool(redis.url, MODEL);
  const gateway = await startGateway({
    redisUrl: redis.url,
    host: '127.0.0.1',
    port: 0,
    registryCacheMs: 0,
    log: { warn() {}, error() {} },
    ...options,
  });
  const address = `http://127.0.0.1:${gateway.port}`;
  return {
    redis,
    pool,
    gateway,
    address,
    post: (path, body, init = {}) =>
      fetch(address + path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
      }),
    async close() {
      await gateway.close(0);
      await pool.close();
      await redis.stop();
    },
  };
}

/** JSON of the gateway's, whose shape is for the test to assert. */
export interface Json {
  readonly [field: string]: Json;
}

export const readJson = async (response: Response): Promise<Json> => (await response.json()) as Json;

/** The JSON objects of an SSE body, and whether it ended with `[DONE]`. */
export async function readSse(response: Response): Promise<{ objects: Json[]; done: boolean }> {
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: '));
  const data = lines.map((line) => line.slice('data: '.length));
  const done = data.at(-1) === '[DONE]';
  return { objects: data.filter((text) => text !== '[DONE]').map((text) => JSON.parse(text)), done };
}
