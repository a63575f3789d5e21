import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  createGatewayBed,
  type GatewayBed,
  MODEL,
  readJson,
  readSse,
} from '../../test/support/gateway/bed.ts';
import { answer, type Script } from '../../test/support/gateway/scripted-pool.ts';
import { startGateway } from './node.ts';

/** What must not be found in any log. */
const PROMPT = 'xylophone-in-the-prompt';
const ANSWER = 'zeppelin-in-the-answer';
const KEY = 'sk-secret-of-the-client';

const ENDED = 'A request ended';

type Entry = Readonly<Record<string, unknown>>;

const lines: string[] = [];
const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
const entries = () => lines.map((line) => JSON.parse(line) as Entry);
let bed: GatewayBed;
beforeAll(async () => {
  bed = await createGatewayBed({ log });
});
beforeEach(() => {
  lines.length = 0;
});
afterAll(() => bed.close());

const chat = { model: MODEL, messages: [{ role: 'user', content: PROMPT }] };
const post = (fields: object = {}, address = bed.address, signal: AbortSignal | null = null) =>
  fetch(`${address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ ...chat, ...fields }),
    signal,
  });

/** The response when its body has been read. */
const readWhole = async (response: Response): Promise<Response> => {
  await response.text();
  return response;
};

/** The one line about the request that was answered with `response`, once it is there. */
const entryOf = (response: Response) =>
  vi.waitFor(() => {
    const id = response.headers.get('x-request-id');
    const found = entries().filter(({ requestId, msg }) => requestId === id && msg === ENDED);
    expect(found).toHaveLength(1);
    return found[0]!;
  });

describe('the log', () => {
  const request = { level: 30, msg: ENDED, method: 'POST', path: '/v1/chat/completions' };

  test.each([false, true])('has one line per request, stream: %s', async (stream) => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, [ANSWER, ANSWER])));
    const response = await post({ stream, n: 2 });
    expect(await response.text()).toContain(ANSWER);
    const entry = (await entryOf(response)) as Record<string, number | undefined>;
    expect(entry).toMatchObject({ ...request, status: 200, brokenBy: null, model: MODEL });
    expect(entry).toMatchObject({ promptTokens: 3, completionTokens: 4, finishReasons: ['stop', 'stop'] });
    const { queueMs, firstTokenMs, durationMs } = entry;
    expect(queueMs).toBeGreaterThanOrEqual(0);
    expect(firstTokenMs).toBeGreaterThanOrEqual(queueMs!);
    expect(durationMs).toBeGreaterThanOrEqual(firstTokenMs!);
  });

  test('tells what a stream that was cut off had, and why it ended', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      await emit(...answer(choice, [ANSWER, ANSWER]).slice(0, 2));
      await sleep(200);
    });
    const client = new AbortController();
    const response = await post({ stream: true }, bed.address, client.signal);
    await response.body!.getReader().read();
    client.abort();
    expect(await entryOf(response)).toMatchObject({
      ...request,
      status: 200,
      brokenBy: 499,
      promptTokens: 3,
      finishReasons: [null],
    });
  });

  test('tells of refused requests and of other addresses', async () => {
    const refused = await post({ temperature: 9 });
    expect(await entryOf(refused)).toMatchObject({ ...request, status: 400, model: null, queueMs: null });
    const health = await fetch(`${bed.address}/health?key=${KEY}`);
    expect(await entryOf(health)).toMatchObject({ method: 'GET', path: '/health', status: 200 });
  });

  test('holds no prompt, no answer and no key, whatever happens', async () => {
    const error = { status: 500, type: 'server_error', code: null, param: null, message: 'lost' };
    const scripts: Script[] = [
      ({ choice }, emit) => emit(...answer(choice, [ANSWER])),
      ({ choice }, emit) => emit(...answer(choice, [ANSWER]).slice(0, 2), { kind: 'failed', choice, error }),
      // A token is missing: a defect, whose stack is logged.
      ({ choice }, emit) => emit({ kind: 'token', choice, position: 3, id: 1, text: ANSWER }),
    ];
    for (const script of scripts) {
      bed.pool.play(script);
      for (const fields of [{}, { stream: true }, { user: PROMPT, stop: [ANSWER] }, { model: PROMPT }]) {
        await entryOf(await readWhole(await post(fields)));
      }
    }
    const text = lines.join('');
    for (const secret of [PROMPT, ANSWER, KEY]) expect(text).not.toContain(secret);
    expect(entries().filter(({ level }) => level === 50).length).toBeGreaterThan(0);
  });
});

describe('headers', () => {
  const timesOf = (response: Response) => {
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(response.headers.get('openai-processing-ms')).toMatch(/^\d+$/);
    return response.headers.get('server-timing');
  };

  test('of a whole answer tell how long it waited, and until its first token', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      const [start, ...rest] = answer(choice, ['a']);
      await sleep(50);
      await emit(start!);
      await sleep(50);
      await emit(...rest);
    });
    const response = await post();
    const found = /^queue;dur=(\d+), first-token;dur=(\d+)$/.exec(timesOf(response) ?? '');
    const [, queueMs, firstTokenMs] = (found ?? []).map(Number) as [number, number, number];
    expect(queueMs).toBeGreaterThanOrEqual(45);
    expect(firstTokenMs).toBeGreaterThan(queueMs);
    expect(Number(response.headers.get('openai-processing-ms'))).toBeGreaterThanOrEqual(firstTokenMs);
  });

  test('of a stream tell what is known when it begins', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      const [start, ...rest] = answer(choice, ['a']);
      await emit(start!);
      await sleep(200);
      await emit(...rest);
    });
    const response = await post({ stream: true });
    expect(timesOf(response)).toMatch(/^queue;dur=\d+$/);
    expect((await readSse(response)).done).toBe(true);
  });

  test.each<[string, () => Promise<Response>, number]>([
    ['a refused request', () => post({ temperature: 9 }), 400],
    ['an unknown model', () => post({ model: 'none' }), 404],
    ['a wrong method', () => fetch(`${bed.address}/v1/chat/completions`), 405],
    ['an unknown address', () => fetch(`${bed.address}/nowhere`), 404],
    ['a list', () => fetch(`${bed.address}/v1/models`), 200],
    ['a probe', () => fetch(`${bed.address}/ready`, { method: 'HEAD' }), 200],
  ])('of %s are there, too', async (_, ask, status) => {
    const response = await ask();
    expect(response.status).toBe(status);
    expect(timesOf(response)).toBeNull();
  });
});

describe('draining with notice', () => {
  test('says so at once, lets streams finish, and closes the port when the notice is over', async () => {
    const gateway = await startGateway({
      redisUrl: bed.redis.url,
      host: '127.0.0.1',
      port: 0,
      log: { warn() {}, error() {} },
    });
    const address = `http://127.0.0.1:${gateway.port}`;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    bed.pool.play(async ({ choice }, emit) => {
      const [start, ...rest] = answer(choice, ['a', 'b']);
      await emit(start!);
      await released;
      await emit(...rest);
    });
    expect((await fetch(`${address}/ready`)).status).toBe(200);
    const stream = await post({ stream: true }, address);
    const startedMs = performance.now();
    const closed = gateway.close(8_000, 1_000);

    const ready = await fetch(`${address}/ready`);
    expect([ready.status, ready.headers.get('connection')]).toEqual([503, 'close']);
    expect(Number(ready.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await readJson(ready)).error.code).toBe('draining');
    const refused = await post({}, address);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await readJson(refused)).error.code).toBe('shutting_down');
    expect((await fetch(`${address}/health`)).status).toBe(200);

    await vi.waitFor(() => expect(fetch(`${address}/health`)).rejects.toThrow(), { timeout: 5_000 });
    expect(performance.now() - startedMs).toBeGreaterThan(950);
    release();
    expect((await readSse(stream)).done).toBe(true);
    await closed;
  });

  test('keeps the port open for the whole notice where nothing is under way, and no longer', async () => {
    const log = { warn() {}, error() {} };
    const gateway = await startGateway({ redisUrl: bed.redis.url, host: '127.0.0.1', port: 0, log });
    const startedMs = performance.now();
    await gateway.close(8_000, 300);
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeGreaterThanOrEqual(295);
    expect(tookMs).toBeLessThan(2_000);
  });
});
