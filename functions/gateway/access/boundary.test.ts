import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { keyRequestsKey, keyTokensKey } from '../../../shared/protocol/keys.ts';
import { MODEL, readJson } from '../../../test/support/gateway/bed.ts';
import { bearing, createKeyedBed, type KeyedBed } from '../../../test/support/gateway/keyed-bed.ts';
import { answer } from '../../../test/support/gateway/scripted-pool.ts';
import { accessKey } from './access-key.fixture.ts';
import { parseKey } from './key-text.ts';
import { createRateLimiter } from './rate-limiter.ts';

const CLIENTS = 50;
/** By the estimate, of each of the requests below. */
const TOKENS_EACH = 50;

let bed: KeyedBed;
let addresses: readonly string[];
beforeAll(async () => {
  bed = await createKeyedBed();
  addresses = [bed.address, await bed.open()];
});
afterAll(() => bed.close());

/** One request for each API; the prompt counts by its length, and in a chat 4 more per message. */
const REQUESTS: readonly (readonly [path: string, body: object])[] = [
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], max_tokens: TOKENS_EACH - 5 }],
  ['/v1/completions', { prompt: 'Hi', max_tokens: TOKENS_EACH - 1 }],
  ['/v1/responses', { input: 'Hi', max_output_tokens: TOKENS_EACH - 5, stream: true }],
];

/** Tokens, or requests, that count for a key at present. */
async function taken(key: string, name: (id: string) => string): Promise<number> {
  const counts = await bed.redis.client.hvals(name(parseKey(key)!.id));
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

describe('with both limits, 50 clients at once over two gateways and three APIs', () => {
  test.each([
    ['tokens', { requestsPerMinute: 30, tokensPerMinute: 20 * TOKENS_EACH + TOKENS_EACH - 1 }, 20],
    ['requests', { requestsPerMinute: 15, tokensPerMinute: 20 * TOKENS_EACH }, 15],
    ['tokens', { requestsPerMinute: 20, tokensPerMinute: TOKENS_EACH }, 1],
  ] as const)('as many get in as the limit of %s allows: %j', async (kind, limits, most) => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    bed.pool.play(async ({ choice }, emit) => {
      await released;
      await emit(...answer(choice, ['a']));
    });
    const key = await bed.makeKey(limits);
    const before = bed.pool.jobs.length;
    let refused = 0;
    const statuses = Promise.all(
      Array.from({ length: CLIENTS }, async (_, client) => {
        const [path, body] = REQUESTS[client % REQUESTS.length]!;
        const response = await fetch(addresses[client % 2] + path, {
          method: 'POST',
          headers: bearing(key),
          body: JSON.stringify({ model: MODEL, ...body }),
        });
        if (response.status === 429) {
          refused += 1;
          expect((await readJson(response)).error.type).toBe(kind);
        } else {
          await response.text();
        }
        return response.status;
      }),
    );
    await vi.waitFor(() => expect(refused).toBe(CLIENTS - most), { timeout: 10_000 });
    expect(await taken(key, keyTokensKey)).toBe(most * TOKENS_EACH);
    expect(await taken(key, keyRequestsKey)).toBe(most);
    release();
    expect((await statuses).filter((status) => status === 200)).toHaveLength(most);
    expect(bed.pool.jobs.length - before).toBe(most);
    // Each used 3 for its prompt and 1 for its answer.
    expect(await taken(key, keyTokensKey)).toBe(most * 4);
  });
});

describe('a window of tokens', () => {
  /** A short window, so that a test sees several. */
  const WINDOW_S = 1;
  const LIMIT = 100;
  const ESTIMATE = 10;

  interface Grant {
    readonly askedMs: number;
    readonly heardMs: number;
    readonly used: number;
  }

  test('never holds more than the limit, though 50 clients give back what they did not use', async () => {
    const connections = [new Redis(bed.redis.url), new Redis(bed.redis.url)];
    const key = accessKey({ id: 'window', tokensPerMinute: LIMIT, requestsPerMinute: null });
    const grants: Grant[] = [];
    const endMs = performance.now() + 3_300;
    const client = async (index: number): Promise<void> => {
      const limiter = createRateLimiter(connections[index % 2]!, WINDOW_S);
      const used = 2 + (index % (ESTIMATE - 1));
      while (performance.now() < endMs) {
        const askedMs = performance.now();
        const { refused, settle } = await limiter.take(key, ESTIMATE);
        const heardMs = performance.now();
        await sleep(30);
        if (refused !== null) continue;
        await settle(used);
        grants.push({ askedMs, heardMs, used });
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)));
    for (const connection of connections) connection.disconnect();
    // A millisecond for the rounding of two clocks.
    const lengthMs = WINDOW_S * 1_000 - 1;
    const usedWithin = (fromMs: number): number =>
      grants
        .filter(({ askedMs, heardMs }) => askedMs >= fromMs && heardMs <= fromMs + lengthMs)
        .reduce((sum, { used }) => sum + used, 0);
    const totals = grants.map(({ askedMs }) => usedWithin(askedMs));
    expect(Math.max(...totals)).toBeLessThanOrEqual(LIMIT);
    // Enough to have filled more than one window.
    expect(grants.length).toBeGreaterThan((2 * LIMIT) / ESTIMATE);
  });
});
