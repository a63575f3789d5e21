import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bearing, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';

let bed: KeyedBed;
beforeAll(async () => {
  bed = await createKeyedBed();
});
afterAll(() => bed.close());

describe('scripts of other origins', () => {
  const ORIGIN = 'https://chat.example';
  const corsHeaders = ({ headers }: Response) =>
    [...headers.keys()].filter((name) => name.startsWith('access-control-'));

  test('are told nothing by default', async () => {
    const preflight = await fetch(`${bed.address}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST' },
    });
    const answered = await bed.get('/v1/models', { ...bearing(await bed.makeKey()), Origin: ORIGIN });
    expect(answered.status).toBe(200);
    for (const response of [preflight, answered]) expect(corsHeaders(response)).toEqual([]);
  });

  test('may read answers where their origin is allowed, and no other', async () => {
    const address = await bed.open({ corsOrigins: [ORIGIN, 'http://localhost:3000'] });
    const preflight = (origin: string) =>
      fetch(`${address}/v1/chat/completions`, {
        method: 'OPTIONS',
        headers: {
          Origin: origin,
          'Access-Control-Request-Method': 'POST',
          'Access-Control-Request-Headers': 'authorization, content-type',
        },
      });
    const allowed = await preflight(ORIGIN);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    expect(allowed.headers.get('access-control-allow-headers')).toContain('authorization');
    expect(allowed.headers.get('access-control-allow-credentials')).toBeNull();
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull();

    const key = await bed.makeKey({ requestsPerMinute: 1 });
    for (const status of [200, 429]) {
      const headers = { ...bearing(key), Origin: ORIGIN };
      const response = await bed.ask(key, {}, { headers }, address);
      expect(response.status).toBe(status);
      expect(response.headers.get('access-control-allow-origin')).toBe(ORIGIN);
      expect(response.headers.get('access-control-expose-headers')).toContain(
        'x-ratelimit-remaining-requests',
      );
    }
    const foreign = await bed.ask(
      key,
      {},
      { headers: { ...bearing(key), Origin: 'https://evil.example' } },
      address,
    );
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
  });
});
