import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { cancelChannel, cancelledKey, modelsKey, scalingTargetKey } from '../../shared/protocol/keys.ts';
import type { RequestFailure } from '../../shared/protocol/token-event.ts';
import {
  createGatewayBed,
  type GatewayBed,
  MODEL,
  readJson,
  readSse,
} from '../../test/support/gateway/bed.ts';
import { freePort, startRedis } from '../../test/support/gateway/redis-server.ts';
import { announce, answer, modelCard, type Script } from '../../test/support/gateway/scripted-pool.ts';
import { LONGEST_WAIT_MS } from '../dispatcher/doorbell-streams.ts';
import type { GatewayLimits } from './limits.ts';
import { startGateway } from './node.ts';

let bed: GatewayBed;
let release = () => {};
beforeAll(async () => {
  bed = await createGatewayBed({ limits: { queueWaitMs: 400, silenceMs: 600 } });
});
afterEach(() => release());
afterAll(() => bed.close());

const chat = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
const start = (choice: number) => ({ kind: 'started', choice, promptTokens: 1 }) as const;
const token = (choice: number, position: number, text = 'x') =>
  ({ kind: 'token', choice, position, id: 1, text }) as const;
const failure: RequestFailure = {
  status: 400,
  type: 'invalid_request_error',
  code: 'context_length_exceeded',
  param: 'messages',
  message: 'The prompt has 600 tokens, the context 512',
};

/** Plays `script`, then holds the job until the test is over. */
function playAndHold(script: Script): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  release = resolve;
  bed.pool.play(async (job, emit) => {
    await script(job, emit);
    await promise;
  });
}

/** Milliseconds until the request's key appears. */
async function msUntilCancelled(requestId: string, limitMs = 2_000): Promise<number> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < limitMs) {
    if ((await bed.redis.client.exists(cancelledKey(requestId))) === 1) return performance.now() - startedMs;
    await sleep(2);
  }
  return Number.POSITIVE_INFINITY;
}

/** More text than the buffers between gateway and client hold, and no end. */
const flood: Script = async ({ choice }, emit) => {
  await emit(start(choice));
  for (let position = 0; position < 40; position++)
    await emit(token(choice, position, 'x'.repeat(1_000_000)));
};

/** A client that asks for a stream and takes nothing of it. */
function floodedClient(port: number): Socket {
  const body = JSON.stringify({ ...chat, stream: true });
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

/** A further gateway at the same Redis. */
const open = (limits: Partial<GatewayLimits> = {}) =>
  startGateway({
    redisUrl: bed.redis.url,
    host: '127.0.0.1',
    port: 0,
    limits,
    log: { warn() {}, error() {} },
  });

const post = (port: number, body: object, signal: AbortSignal | null = null) =>
  fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal,
  });

async function takenJob() {
  const before = bed.pool.jobs.length;
  await vi.waitFor(() => expect(bed.pool.jobs.length).toBeGreaterThan(before), { interval: 5 });
  return bed.pool.jobs[before];
}

// A busy machine may miss the bound once; code that does not cancel misses it each time.
describe('a client that hangs up cancels its request within 100 ms', { retry: 2 }, () => {
  test.each<[string, object, Script]>([
    ['before the answer began', {}, async () => {}],
    ['before the stream began', { stream: true }, async () => {}],
    ['amid the answer', {}, ({ choice }, emit) => emit(start(choice), token(choice, 0))],
    ['amid the stream', { stream: true }, ({ choice }, emit) => emit(start(choice), token(choice, 0))],
  ])('%s', async (_, fields, script) => {
    const subscriber = bed.redis.client.duplicate();
    await subscriber.subscribe(cancelChannel(MODEL));
    const told = once(subscriber, 'message');
    playAndHold(script);
    const taken = takenJob();
    const client = new AbortController();
    const response = bed.post('/v1/chat/completions', { ...chat, ...fields }, { signal: client.signal });
    response.catch(() => {});
    const { requestId } = await taken;
    await sleep(50);
    expect(await bed.redis.client.exists(cancelledKey(requestId))).toBe(0);
    client.abort();
    expect(await msUntilCancelled(requestId)).toBeLessThan(100);
    const cancelledAtMs = Number(await bed.redis.client.get(cancelledKey(requestId)));
    expect(Math.abs(cancelledAtMs - Date.now())).toBeLessThan(5_000);
    expect((await told)[1]).toBe(requestId);
    subscriber.disconnect();
  });

  test('but not when it has its answer', async () => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, ['a'])));
    const response = await bed.post('/v1/chat/completions', { ...chat, stream: true });
    await response.text();
    const id = response.headers.get('x-request-id') ?? '';
    await sleep(50);
    expect(await bed.redis.client.exists(cancelledKey(id))).toBe(0);
  });
});

test('a client that hangs up after taking nothing of its stream cancels its request', async () => {
  bed.pool.play(flood);
  const taken = takenJob();
  const socket = floodedClient(bed.gateway.port);
  const { requestId } = await taken;
  await sleep(500);
  expect(await bed.redis.client.exists(cancelledKey(requestId))).toBe(0);
  socket.destroy();
  expect(await msUntilCancelled(requestId)).toBeLessThan(2_000);
});

describe('a failure', () => {
  test.each([{}, { stream: true }])('before the answer is the status (%o)', async (fields) => {
    bed.pool.play(({ choice }, emit) => emit({ kind: 'failed', choice, error: failure }));
    const response = await bed.post('/v1/chat/completions', { ...chat, ...fields });
    expect(response.status).toBe(400);
    const { status, ...error } = failure;
    expect(status).toBe(400);
    expect(await response.json()).toEqual({ error });
  });

  test('after the stream began ends it with an error object and without DONE', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      await emit(start(choice), token(choice, 0));
      await sleep(20);
      await emit({ kind: 'failed', choice, error: { ...failure, status: 500, type: 'server_error' } });
    });
    const response = await bed.post('/v1/chat/completions', { ...chat, stream: true });
    expect(response.status).toBe(200);
    const { objects, done } = await readSse(response);
    expect(objects.at(-2)?.choices[0].delta.content).toBe('x');
    expect(objects.at(-1)).toEqual({ error: expect.objectContaining({ type: 'server_error' }) });
    expect(done).toBe(false);
  });

  test('amid an answer that is not streamed is the status', async () => {
    const overload: RequestFailure = { ...failure, status: 503, type: 'server_error', code: 'pool_lost' };
    bed.pool.play(({ choice }, emit) =>
      emit(start(choice), token(choice, 0), { kind: 'failed', choice, error: overload }),
    );
    const response = await bed.post('/v1/chat/completions', chat);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBeTruthy();
    expect((await readJson(response)).error.code).toBe('pool_lost');
  });

  test('of one choice fails the request and cancels the others', async () => {
    playAndHold(({ choice }, emit) =>
      choice === 1 ? emit({ kind: 'failed', choice, error: failure }) : emit(start(choice)),
    );
    const response = await bed.post('/v1/chat/completions', { ...chat, n: 2 });
    expect(response.status).toBe(400);
    expect(await msUntilCancelled(response.headers.get('x-request-id') ?? '')).toBeLessThan(100);
  });
});

describe('waiting has an end', () => {
  test('for a model that nothing wakes: 503 with what it lacks, where it would have waited', async () => {
    const { client } = bed.redis;
    await client.hset(modelsKey, 'asleep', JSON.stringify(modelCard('asleep')));
    await client.set(scalingTargetKey('asleep'), '{}');
    const asked = { ...chat, model: 'asleep' };
    const asleep = /'asleep' was not ready .* lacks an attention instance .*\(0 known\).*; it is asleep/;
    for (const body of [asked, { ...asked, stream: true }]) {
      const response = await bed.post('/v1/chat/completions', body);
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBeTruthy();
      const { error } = await readJson(response);
      expect(error).toMatchObject({ code: 'model_not_ready', message: expect.stringMatching(asleep) });
      expect(await msUntilCancelled(response.headers.get('x-request-id') ?? '')).toBeLessThan(100);
    }
    const question = await bed.post('/tokenize', { model: 'asleep', prompt: 'x' });
    expect((await readJson(question)).error.message).toMatch(/'asleep' is not ready/);
    await client.hdel(modelsKey, 'asleep');
  });

  test('in the queue: 503, a time to try again, and the jobs are cancelled', async () => {
    playAndHold(async () => {});
    const response = await bed.post('/v1/chat/completions', { ...chat, stream: true });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBeTruthy();
    expect((await readJson(response)).error).toMatchObject({ type: 'server_error', code: 'queue_timeout' });
    expect(await msUntilCancelled(response.headers.get('x-request-id') ?? '')).toBeLessThan(100);
  });

  test('for the next token: 504, or an error in the stream', async () => {
    playAndHold(({ choice }, emit) => emit(start(choice)));
    const whole = await bed.post('/v1/chat/completions', chat);
    expect(whole.status).toBe(504);
    expect((await readJson(whole)).error.code).toBe('generation_timeout');
    const { objects, done } = await readSse(
      await bed.post('/v1/chat/completions', { ...chat, stream: true }),
    );
    expect(objects.at(-1)?.error.code).toBe('generation_timeout');
    expect(done).toBe(false);
  });

  test('meanwhile the stream shows that it lives', async () => {
    const patient = await open();
    playAndHold(({ choice }, emit) => emit(start(choice)));
    const response = await post(patient.port, { ...chat, stream: true });
    const text = response.text();
    await sleep(LONGEST_WAIT_MS + 200);
    await patient.close(0);
    expect(await text).toMatch(/^data: .*\n\n: waiting\n\n/);
  });

  test('for everything together, also when the client takes nothing', async () => {
    const other = await open({ overallMs: 400 });
    playAndHold(({ choice }, emit) => emit(start(choice)));
    const response = await post(other.port, { ...chat, stream: true });
    expect((await readSse(response)).objects.at(-1)?.error.code).toBe('request_timeout');

    const taken = takenJob();
    release();
    bed.pool.play(flood);
    const socket = floodedClient(other.port);
    const { requestId } = await taken;
    expect(await msUntilCancelled(requestId)).toBeLessThan(2_000);
    socket.destroy();
    await other.close(0);
  });
});

describe('a full gateway', () => {
  test('answers 503 with a time to try again, and serves again when there is room', async () => {
    const small = await open({ openRequests: 1 });
    playAndHold(async () => {});
    const taken = takenJob();
    const client = new AbortController();
    post(small.port, chat, client.signal).catch(() => {});
    await taken;
    const refused = await post(small.port, chat);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBeTruthy();
    expect((await readJson(refused)).error.code).toBe('overloaded');
    client.abort();
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, ['a'])));
    await vi.waitFor(async () => expect((await post(small.port, chat)).status).toBe(200));
    await small.close(0);
  });
});

describe('closing', () => {
  const stream = (port: number) => post(port, { ...chat, stream: true });

  test('lets a stream finish, and takes no new connection meanwhile', async () => {
    const gateway = await open();
    bed.pool.play(async ({ choice }, emit) => {
      const [first, ...rest] = answer(choice, ['a', 'b']);
      await emit(first);
      await sleep(200);
      await emit(...rest);
    });
    const response = await stream(gateway.port);
    const closed = gateway.close(5_000);
    await expect(fetch(`http://127.0.0.1:${gateway.port}/health`)).rejects.toThrow();
    expect((await readSse(response)).done).toBe(true);
    await closed;
  });

  test('ends a stream that lasts too long with an error, and cancels it', async () => {
    const gateway = await open();
    playAndHold(({ choice }, emit) => emit(start(choice)));
    const response = await stream(gateway.port);
    const sse = readSse(response);
    const startedMs = performance.now();
    await gateway.close(100);
    expect(performance.now() - startedMs).toBeLessThan(1_500);
    expect((await sse).objects.at(-1)?.error.code).toBe('shutting_down');
    expect(await msUntilCancelled(response.headers.get('x-request-id') ?? '')).toBeLessThan(100);
  });
});

describe('starting', () => {
  test('on a port that is taken says which and what to do', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const address = squatter.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const started = startGateway({ redisUrl: bed.redis.url, host: '127.0.0.1', port });
    await expect(started).rejects.toThrow(
      new JanusError(`Port ${port} on 127.0.0.1 is in use already: choose another one with --port`),
    );
    squatter.close();
  });

  test('without Redis names its address, but not its password', async () => {
    const port = await freePort();
    const redisUrl = `redis://user:secret@127.0.0.1:${port}/0?password=secret`;
    const error = await startGateway({ redisUrl, host: '127.0.0.1', port: 0 }).catch((caught) => caught);
    expect(error).toBeInstanceOf(JanusError);
    expect(error.message).toContain(`redis://user:***@127.0.0.1:${port}/0`);
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.message).not.toContain('secret');
  });

  test('with an address that is none of Redis says so', async () => {
    for (const redisUrl of ['http://localhost', 'localhost:6379', '']) {
      const started = startGateway({ redisUrl, host: '127.0.0.1', port: 0 });
      await expect(started).rejects.toThrow(/write it as redis:\/\/host:port/);
    }
  });
});

describe('without models or without Redis', () => {
  test('/ready tells what is missing, then everything is 503 and recovers', async () => {
    let redis = await startRedis();
    const gateway = await startGateway({
      redisUrl: redis.url,
      host: '127.0.0.1',
      port: 0,
      registryCacheMs: 0,
      log: { warn() {}, error() {} },
    });
    const get = (path: string) => fetch(`http://127.0.0.1:${gateway.port}${path}`);
    const empty = await get('/ready');
    expect(empty.status).toBe(503);
    expect(await readJson(empty)).toMatchObject({
      error: { message: 'No pool has announced a model' },
      models: [],
    });
    await announce(redis.client, 'slow', 'loading');
    const loading = await readJson(await get('/ready'));
    expect(loading.error.message).toMatch(/slow lacks an attention instance .* and an expert instance/);

    await redis.stop();
    for (const path of ['/health', '/ready', '/v1/models']) {
      const response = await get(path);
      expect(response.status, path).toBe(503);
      expect((await readJson(response)).error.code).toBe('broker_unavailable');
    }
    redis = await startRedis(redis.port);
    await vi.waitFor(async () => expect((await get('/health')).status).toBe(200), {
      timeout: 10_000,
      interval: 100,
    });
    await gateway.close(0);
    await redis.stop();
  });
});
