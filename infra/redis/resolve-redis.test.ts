import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { useRedis } from '../../test/support/redis.ts';
import { redactPassword, requireRedis } from './require-redis.ts';
import { resolveRedis } from './resolve-redis.ts';

const redis = useRedis();
/** Port 1 is reserved, and nothing listens there. */
const DEAD_URL = 'redis://127.0.0.1:1/';

describe('resolveRedis', () => {
  it('prefers the URL that is given to REDIS_URL', async () => {
    const resolved = await resolveRedis(redis.url, { REDIS_URL: DEAD_URL });
    expect(resolved.url).toBe(redis.url);
  });

  it('takes REDIS_URL when no URL is given, and does not stop that server', async () => {
    const resolved = await resolveRedis(undefined, { REDIS_URL: redis.url });
    await resolved.stop();
    await expect(requireRedis(resolved.url)).resolves.toBeUndefined();
  });

  it('starts a server of its own when neither is set, and stops it', async () => {
    const resolved = await resolveRedis(undefined, {});
    await expect(requireRedis(resolved.url)).resolves.toBeUndefined();
    await resolved.stop();
    await expect(requireRedis(resolved.url)).rejects.toThrow('ECONNREFUSED');
  });

  it('does not start a server in place of one that is named but does not answer', async () => {
    await expect(resolveRedis(undefined, { REDIS_URL: DEAD_URL })).rejects.toThrow(DEAD_URL);
  });
});

describe('requireRedis', () => {
  it('hides the password of a server that it cannot reach', async () => {
    const refusal = requireRedis('redis://janus:secret@127.0.0.1:1/0');
    await expect(refusal).rejects.toThrow('redis://janus:***@127.0.0.1:1/0');
    await expect(refusal).rejects.not.toThrow('secret');
  });

  it('gives up on a server that accepts the connection and says nothing', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    if (address === null || typeof address === 'string') throw new Error('expected a port');
    await expect(requireRedis(`redis://127.0.0.1:${address.port}`, 100)).rejects.toThrow(
      'no answer within 100 ms',
    );
    silent.close();
  });

  it.each(['http://127.0.0.1:6379', 'localhost:6379', 'secret words'])('refuses %j as a URL', async (url) => {
    await expect(requireRedis(url)).rejects.toThrow('redis://user:password@host:6379/0');
  });
});

describe('redactPassword', () => {
  it('leaves a URL without a password as it is', () => {
    expect(redactPassword('rediss://cache.example:6380/2')).toBe('rediss://cache.example:6380/2');
  });
});
