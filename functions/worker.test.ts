import type { ExecutionContext } from '@cloudflare/workers-types';
import { expect, it, vi } from 'vitest';
import worker from './worker.ts';

it('a Worker that is set up wrongly says so to its log, and to clients no more than that', async () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {});
  const request = new Request('https://gateway.example/v1/models');
  const bindings = { REDIS_URL: 'redis://:secret@redis.example', LOG_LEVEL: 'loud' };
  const response = await worker.fetch(request, bindings, {} as ExecutionContext);
  expect(response.status).toBe(503);
  const body = await response.text();
  expect(JSON.parse(body)).toMatchObject({ error: { code: 'misconfigured', type: 'server_error' } });
  expect(log.mock.calls.flat().join()).toContain('LOG_LEVEL is \\"loud\\"');
  for (const text of [body, log.mock.calls.flat().join()]) expect(text).not.toContain('secret');
  log.mockRestore();
});
