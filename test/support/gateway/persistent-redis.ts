import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './redis-server.ts';

/** A Redis server whose data survive its process. */
export interface PersistentRedis {
  readonly url: string;
  /** Kills the server. */
  readonly kill: () => Promise<void>;
  /** Starts it again where it was; resolves when it answers. */
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** @param fsync when it waits for the disk, which matters where power fails: what a process wrote outlives it in any case */
export async function startPersistentRedis(
  fsync: 'always' | 'everysec' = 'always',
): Promise<PersistentRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'janus-aof-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const settings = {
    bind: '127.0.0.1',
    port,
    dir: folder,
    save: '',
    appendonly: 'yes',
    appendfsync: fsync,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  let server: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    server = spawn('redis-server', args, { stdio: 'ignore' });
    const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 20 });
    client.on('error', () => {});
    await client.ping();
    client.disconnect();
  };
  const kill = async (): Promise<void> => {
    const running = server;
    if (running === undefined) return;
    server = undefined;
    const ended = once(running, 'exit');
    running.kill('SIGKILL');
    await ended;
  };

  await start();
  return {
    url,
    start,
    kill,
    async stop() {
      await kill();
      await rm(folder, { recursive: true });
    },
  };
}
