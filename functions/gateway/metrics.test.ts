import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RequestFailure, TokenEvent } from '../../shared/protocol/token-event.ts';
import { createGatewayBed, type GatewayBed, MODEL } from '../../test/support/gateway/bed.ts';
import { startRedis } from '../../test/support/gateway/redis-server.ts';
import { rises, type Scrape, scrape } from '../../test/support/gateway/scrape.ts';
import { announce, answer } from '../../test/support/gateway/scripted-pool.ts';
import { startGateway } from './node.ts';

let bed: GatewayBed;
beforeAll(async () => {
  bed = await createGatewayBed({ limits: { queueWaitMs: 2_000 } });
  // From the first request on the series of the model are there.
  await (await post({})).text();
});
afterAll(() => bed.close());

const chat = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
const post = (fields: object, init: RequestInit = {}) =>
  bed.post('/v1/chat/completions', { ...chat, ...fields }, init);
const series = (name: string, more = '') => `janus:${name}{model_name="${MODEL}"${more}}`;
const failures = (code: number) => series('request_failures_total', `,code="${code}"`);
const token = (choice: number, position: number): TokenEvent => ({
  kind: 'token',
  choice,
  position,
  id: 1,
  text: 'x',
});
const failure: RequestFailure = {
  status: 400,
  type: 'invalid_request_error',
  code: 'context_length_exceeded',
  param: 'messages',
  message: 'The prompt has 600 tokens, the context 512',
};

/** Two tokens after a pause each, then a third one together with the end. */
const playSlowly = () =>
  bed.pool.play(async ({ choice }, emit) => {
    await emit({ kind: 'started', choice, promptTokens: 5 });
    for (const position of [0, 1]) {
      await sleep(60);
      await emit(token(choice, position));
    }
    await sleep(60);
    const counts = { promptTokens: 5, cachedTokens: 0, completionTokens: 3 };
    await emit(token(choice, 2), { kind: 'finished', choice, reason: 'length', text: '', ...counts });
  });

/** By how much counters and histograms of requests rose between two scrapes, but for buckets. */
function risesOfRequests(before: Scrape, after: Scrape): Record<string, number> {
  const ours = /^janus:(request|time_to|inter_token|e2e|prompt|generation)/;
  const all = Object.entries(rises(before, after));
  return Object.fromEntries(all.filter(([name]) => ours.test(name) && !name.includes('_bucket')));
}

async function risesWhile(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await scrape(bed.address);
  await work();
  return risesOfRequests(before, await scrape(bed.address));
}

describe.each([false, true])('a request, stream: %s', (stream) => {
  test('moves the series of its model by what it took', async () => {
    playSlowly();
    const before = await scrape(bed.address);
    const startedMs = performance.now();
    await (await post({ stream })).text();
    const tookS = (performance.now() - startedMs) / 1_000;
    const after = await scrape(bed.address);

    const risen = risesOfRequests(before, after);
    expect(risen).toEqual({
      [series('request_queue_time_seconds_count')]: 1,
      [series('request_queue_time_seconds_sum')]: expect.any(Number),
      [series('time_to_first_token_seconds_count')]: 1,
      [series('time_to_first_token_seconds_sum')]: expect.any(Number),
      [series('inter_token_latency_seconds_count')]: 2,
      [series('inter_token_latency_seconds_sum')]: expect.any(Number),
      [series('e2e_request_latency_seconds_count')]: 1,
      [series('e2e_request_latency_seconds_sum')]: expect.any(Number),
      [series('prompt_tokens_total')]: 5,
      [series('generation_tokens_total')]: 3,
      [series('request_success_total', ',finished_reason="length"')]: 1,
    });
    const endToEnd = risen[series('e2e_request_latency_seconds_sum')]!;
    const firstToken = risen[series('time_to_first_token_seconds_sum')]!;
    expect(firstToken).toBeGreaterThan(risen[series('request_queue_time_seconds_sum')]! + 0.02);
    expect(endToEnd).toBeLessThan(tookS + 0.002);
    // The last token comes together with the end.
    expect(risen[series('inter_token_latency_seconds_sum')]).toBeCloseTo(endToEnd - firstToken, 6);
    const bucket = (bound: string) => series('inter_token_latency_seconds_bucket', `,le="${bound}"`);
    const shortGaps = (now: Scrape) => now.get(bucket('0.01'))!;
    const allGaps = (now: Scrape) => now.get(bucket('+Inf'))!;
    expect([shortGaps(after) - shortGaps(before), allGaps(after) - allGaps(before)]).toEqual([0, 2]);
  });

  test('with n = 2 counts both choices, and its prompt once', async () => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, choice === 0 ? ['a'] : ['b', 'c'])));
    const risen = await risesWhile(async () => (await post({ stream, n: 2 })).text());
    expect(risen).toMatchObject({
      [series('request_queue_time_seconds_count')]: 2,
      [series('time_to_first_token_seconds_count')]: 2,
      [series('inter_token_latency_seconds_count')]: 1,
      [series('e2e_request_latency_seconds_count')]: 2,
      [series('prompt_tokens_total')]: 3,
      [series('generation_tokens_total')]: 3,
      [series('request_success_total', ',finished_reason="stop"')]: 2,
    });
  });

  test('that the pool refuses is a failure by its status, and nothing else', async () => {
    bed.pool.play(({ choice }, emit) => emit({ kind: 'failed', choice, error: failure }));
    expect(await risesWhile(async () => (await post({ stream })).text())).toEqual({ [failures(400)]: 1 });
  });

  test('that is not valid is one, too, before any model is known', async () => {
    const risen = await risesWhile(async () => (await post({ stream, temperature: 9 })).text());
    expect(risen).toEqual({ 'janus:request_failures_total{model_name="",code="400"}': 1 });
  });

  test('whose client hangs up counts as 499, with the tokens that it had', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      await emit({ kind: 'started', choice, promptTokens: 5 }, token(choice, 0), token(choice, 1));
      await sleep(300);
    });
    const before = await scrape(bed.address);
    const client = new AbortController();
    const response = post({ stream }, { signal: client.signal });
    response.catch(() => {});
    await vi.waitFor(async () => {
      const risen = rises(before, await scrape(bed.address));
      expect(risen[series('generation_tokens_total')]).toBe(2);
    });
    client.abort();
    await vi.waitFor(async () => {
      expect(risesOfRequests(before, await scrape(bed.address))).toMatchObject({
        [failures(499)]: 1,
        [series('generation_tokens_total')]: 2,
        [series('prompt_tokens_total')]: 5,
      });
    });
  });
});

test('a stream that fails after its first token counts by the status that it would have had', async () => {
  bed.pool.play(async ({ choice }, emit) => {
    await emit({ kind: 'started', choice, promptTokens: 1 }, token(choice, 0));
    await sleep(30);
    await emit({ kind: 'failed', choice, error: { ...failure, status: 503, type: 'server_error' } });
  });
  const risen = await risesWhile(async () => {
    const response = await post({ stream: true });
    expect(response.status).toBe(200);
    await response.text();
  });
  expect(risen).toMatchObject({ [failures(503)]: 1, [series('generation_tokens_total')]: 1 });
  expect(risen).not.toHaveProperty([series('e2e_request_latency_seconds_count')]);
});

test('clients cannot make series: models that no pool has announced share one', async () => {
  const before = await scrape(bed.address);
  const names = fc.sample(fc.string({ minLength: 1, unit: 'grapheme' }), 40);
  for (const [i, name] of names.entries()) {
    const inAddress = i % 2 === 0;
    const path = inAddress
      ? `/models/${encodeURIComponent(name)}/v1/chat/completions`
      : '/v1/chat/completions';
    const response = await bed.post(path, { ...chat, model: inAddress ? undefined : name });
    expect(response.status).toBeGreaterThanOrEqual(400);
    await response.body?.cancel();
  }
  const after = await scrape(bed.address);
  const created = [...after.keys()].filter((name) => !before.has(name));
  const shared = [400, 404].map((code) => `janus:request_failures_total{model_name="",code="${code}"}`);
  expect(shared).toEqual(expect.arrayContaining(created));
  const refused = (now: Scrape) => shared.reduce((sum, name) => sum + (now.get(name) ?? 0), 0);
  expect(refused(after) - refused(before)).toBe(names.length);
});

test('only what is to generate is a request, whatever the rest is answered with', async () => {
  const risen = await risesWhile(async () => {
    for (const path of ['/health', '/v1/models', '/v1/models/none', '/nowhere']) {
      await (await fetch(bed.address + path)).text();
    }
    for (const path of ['/v1/embeddings', '/v1/files', '/nowhere']) await (await bed.post(path, {})).text();
  });
  expect(risen).toEqual({});
});

test('tells of the pools of every announced model what they told last', async () => {
  await announce(bed.redis.client, 'slow', 'loading');
  const now = await scrape(bed.address);
  expect(now.get('janus:pool_read_success')).toBe(1);
  const instances = (model: string, state: string) =>
    now.get(`janus:pool_instances{model_name="${model}",role="attention",state="${state}"}`);
  expect([instances(MODEL, 'ready'), instances('slow', 'ready'), instances('slow', 'loading')]).toEqual([
    1, 0, 1,
  ]);
  expect(now.get(series('num_requests_waiting'))).toBe(0);
  expect(now.get(series('kv_cache_usage_perc'))).toBe(0);
});

// Whether a key is needed is known for a second; a busy machine may take longer to end Redis.
test('tells its own figures while Redis is away', { retry: 2 }, async () => {
  const redis = await startRedis();
  const log = { warn() {}, error() {} };
  const gateway = await startGateway({ redisUrl: redis.url, host: '127.0.0.1', port: 0, log });
  const address = `http://127.0.0.1:${gateway.port}`;
  const unknown = { method: 'POST', body: JSON.stringify({ ...chat, model: 'none' }) };
  await (await fetch(`${address}/v1/chat/completions`, unknown)).text();
  await scrape(address);
  await redis.stop();
  onTestFinished(() => gateway.close(0));
  const now = await scrape(address);
  expect(now.get('janus:pool_read_success')).toBe(0);
  expect(now.get('janus:request_failures_total{model_name="",code="404"}')).toBe(1);
});
