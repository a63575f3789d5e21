import { describe, expect, test, vi } from 'vitest';
import { keyTokensKey } from '../../../shared/protocol/keys.ts';
import { readJson } from '../../../test/support/gateway/bed.ts';
import { useHoldingBed } from '../../../test/support/gateway/held-answers.ts';
import { parseKey } from './key-text.ts';

const CLIENTS = 50;

/** Events of an answer of one token that come before its end. */
const BEFORE_END = 2;

const bed = useHoldingBed();

const rates = ({ headers }: Response, kind: string) =>
  ['limit', 'remaining', 'reset'].map((part) => headers.get(`x-ratelimit-${part}-${kind}`));

/** Tokens that count for a key at present. */
async function tokensTaken(key: string): Promise<number> {
  const taken = await bed.redis.client.hvals(keyTokensKey(parseKey(key)!.id));
  return taken.reduce((sum, count) => sum + Number(count), 0);
}

describe('limits', () => {
  test('of requests let through exactly as many of 50 at once, over two gateways', async () => {
    const key = await bed.makeKey({ requestsPerMinute: 20 });
    const addresses = [bed.address, await bed.open()];
    const before = bed.pool.jobs.length;
    const responses = await Promise.all(
      Array.from({ length: CLIENTS }, (_, client) => bed.ask(key, {}, {}, addresses[client % 2])),
    );
    const granted = responses.filter(({ status }) => status === 200);
    const refused = responses.filter(({ status }) => status === 429);
    expect([granted.length, refused.length]).toEqual([20, 30]);
    expect(bed.pool.jobs.length - before).toBe(20);
    const remaining = granted.map((response) => Number(rates(response, 'requests')[1]));
    expect(remaining.sort((a, b) => b - a)).toEqual(Array.from({ length: 20 }, (_, index) => 19 - index));
    for (const response of refused) {
      expect(rates(response, 'requests')).toEqual(['20', '0', expect.stringMatching(/^(1m)?[\d.]+m?s$/)]);
      expect(rates(response, 'tokens')).toEqual([null, null, null]);
      const retryAfterS = Number(response.headers.get('retry-after'));
      expect(retryAfterS).toBeGreaterThan(50);
      expect(retryAfterS).toBeLessThanOrEqual(61);
      const { error } = await readJson(response);
      expect(error).toMatchObject({ type: 'requests', code: 'rate_limit_exceeded', param: null });
      expect(error.message).toMatch(/requests per minute: limit 20, used 20, requested 1; try again in /);
    }
  });

  test('of tokens let through exactly as many of 50 at once', async () => {
    bed.hold(BEFORE_END);
    // The estimate of one is 5 for the prompt and 45 for the answer.
    const key = await bed.makeKey({ tokensPerMinute: 1_000 });
    let refused = 0;
    const statuses = Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        const response = await bed.ask(key, { max_tokens: 45 });
        if (response.status === 429) {
          refused += 1;
          expect((await readJson(response)).error).toMatchObject({
            type: 'tokens',
            message: expect.stringContaining('tokens per minute: limit 1000, used 1000, requested 50'),
          });
        }
        return response.status;
      }),
    );
    await vi.waitFor(() => expect(refused).toBe(30), { timeout: 10_000 });
    bed.release();
    expect((await statuses).filter((status) => status === 200)).toHaveLength(20);
    // Each used 3 for its prompt and 1 for its answer.
    expect(await tokensTaken(key)).toBe(20 * 4);
  });

  test('of tokens say of what can never pass how to change it', async () => {
    const key = await bed.makeKey({ tokensPerMinute: 100 });
    const response = await bed.ask(key, { max_tokens: 101 });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('60');
    expect((await readJson(response)).error.message).toMatch(/can never pass.*max_tokens/);
    expect(await tokensTaken(key)).toBe(0);
  });

  test('are told with every answer, and only those that there are', async () => {
    const both = await bed.ask(await bed.makeKey({ requestsPerMinute: 3, tokensPerMinute: 500 }), {
      max_tokens: 10,
    });
    expect(rates(both, 'requests')).toEqual(['3', '2', expect.any(String)]);
    expect(rates(both, 'tokens')).toEqual(['500', '485', expect.any(String)]);
    const stream = await bed.ask(await bed.makeKey({ tokensPerMinute: 500 }), {
      max_tokens: 10,
      stream: true,
    });
    expect(rates(stream, 'tokens')).toEqual(['500', '485', expect.any(String)]);
    expect(rates(stream, 'requests')).toEqual([null, null, null]);
    await stream.text();
    const free = await bed.ask(await bed.makeKey());
    expect([...free.headers.keys()].filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  });

  test('count what was used when a client cuts its stream off', async () => {
    bed.hold(BEFORE_END);
    const key = await bed.makeKey({ tokensPerMinute: 1_000 });
    const client = new AbortController();
    const response = await bed.ask(key, { max_tokens: 400, stream: true }, { signal: client.signal });
    await response.body!.getReader().read();
    expect(await tokensTaken(key)).toBe(405);
    client.abort();
    await vi.waitFor(async () => expect(await tokensTaken(key)).toBe(4), { timeout: 5_000 });
    bed.release();
    expect(rates(await bed.ask(key, { max_tokens: 10 }), 'tokens')[1]).toBe(String(1_000 - 4 - 15));
  });

  test('count no tokens of what a pool refused or never took', async () => {
    const key = await bed.makeKey({ tokensPerMinute: 1_000 });
    const error = { status: 400, type: 'invalid_request_error', code: null, param: null, message: 'no' };
    bed.pool.play(({ choice }, emit) => emit({ kind: 'failed', choice, error }));
    expect((await bed.ask(key)).status).toBe(400);
    expect((await bed.ask(key, { stream: true })).status).toBe(400);
    expect(await tokensTaken(key)).toBe(0);
    expect((await bed.ask(key, { temperature: 9 })).status).toBe(400);
    expect(await tokensTaken(key)).toBe(0);
  });

  test('refuse without holding a place in the gateway', async () => {
    const address = await bed.open({ limits: { openRequests: 1 } });
    const key = await bed.makeKey({ requestsPerMinute: 1 });
    expect((await bed.ask(key, {}, {}, address)).status).toBe(200);
    for (let count = 0; count < 3; count++) expect((await bed.ask(key, {}, {}, address)).status).toBe(429);
  });
});
