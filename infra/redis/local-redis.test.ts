import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startLocalRedis } from './local-redis.ts';
import { probeRedis } from './probe-redis.ts';

const PROBE_TIMEOUT_MS = 1_000;
const module = new URL('./local-redis.ts', import.meta.url).href;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'janus-test-'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true, force: true });
});

describe('startLocalRedis', () => {
  it('serves the same data over TCP and over the Unix socket, without persistence or eviction', async () => {
    const redis = await startLocalRedis({ directory });
    const tcp = new Redis(redis.url);
    const socket = new Redis(redis.socketPath);
    try {
      await tcp.set('key', 'value');
      expect(await socket.get('key')).toBe('value');
      expect(await socket.config('GET', 'save', 'appendonly', 'maxmemory-policy')).toEqual(
        expect.arrayContaining(['save', '', 'appendonly', 'no', 'maxmemory-policy', 'noeviction']),
      );
    } finally {
      tcp.disconnect();
      socket.disconnect();
      await redis.stop();
    }
  });

  it('leaves neither server nor files after stop, which may be called twice', async () => {
    const redis = await startLocalRedis({ directory });
    await redis.stop();
    await redis.stop();
    expect(await probeRedis(redis.url, PROBE_TIMEOUT_MS)).toContain('ECONNREFUSED');
    expect(await readdir(directory)).toEqual([]);
  });

  it('starts servers beside each other', async () => {
    const servers = await Promise.all([startLocalRedis({ directory }), startLocalRedis({ directory })]);
    expect(servers[0].url).not.toBe(servers[1].url);
    await Promise.all(servers.map((server) => server.stop()));
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'takes the server along when its process ends by %s',
    async (signal) => {
      const parent = spawnParent('setInterval(() => {}, 1000);');
      const [url] = await once(parent.stdout, 'data');
      expect(await probeRedis(String(url), PROBE_TIMEOUT_MS)).toBeUndefined();
      parent.kill(signal);
      await vi.waitFor(async () => {
        expect(await probeRedis(String(url), PROBE_TIMEOUT_MS)).toContain('ECONNREFUSED');
        expect(await readdir(directory)).toEqual([]);
      }, 5_000);
    },
  );

  it('does not keep a process alive that has nothing else to do', async () => {
    const [status] = await once(spawnParent(''), 'exit');
    expect(status).toBe(0);
  });

  it('names the install commands when redis-server is not on PATH', async () => {
    vi.stubEnv('PATH', directory);
    await expect(startLocalRedis({ directory })).rejects.toThrow(
      /not on PATH.*apt-get install redis-server/s,
    );
    expect(await readdir(directory)).toEqual([]);
  });

  it('repeats what redis-server says when it does not start', async () => {
    const program = join(directory, 'redis-server');
    await writeFile(program, '#!/bin/sh\necho "bad configuration" >&2\nexit 1\n');
    await chmod(program, 0o755);
    vi.stubEnv('PATH', directory);
    await expect(startLocalRedis({ directory })).rejects.toThrow('bad configuration');
  });
});

/** A process that starts a server, prints its URL, and then does as told. */
function spawnParent(rest: string) {
  const script = `
    import { startLocalRedis } from ${JSON.stringify(module)};
    const { url } = await startLocalRedis({ directory: ${JSON.stringify(directory)} });
    process.stdout.write(url);
    ${rest}
  `;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}
