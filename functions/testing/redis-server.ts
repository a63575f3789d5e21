import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

const START_TIMEOUT_MS = 10_000;

export interface TestRedis {
  readonly url: string;
  readonly port: number;
  readonly client: Redis;
  readonly stop: () => Promise<void>;
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts a Redis server of its own that keeps nothing. */
export async function startRedis(port?: number): Promise<TestRedis> {
  const taken = port ?? (await freePort());
  const options = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--loglevel', 'warning'];
  const child = spawn('redis-server', ['--port', String(taken), ...options], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const url = `redis://127.0.0.1:${taken}`;
  const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: null });
  client.on('error', () => {});
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  const answers = () =>
    client.connect().then(
      () => true,
      () => false,
    );
  while (!(await answers())) {
    if (Date.now() > deadlineMs) throw new Error(`redis-server did not start on port ${taken}`);
    client.disconnect();
    await sleep(20);
  }
  return {
    url,
    port: taken,
    client,
    async stop() {
      client.disconnect();
      child.kill();
      await exited;
    },
  };
}
