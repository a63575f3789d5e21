import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TOKEN_STREAM_FIELD, tokenStreamKey } from '../../shared/protocol/keys.ts';
import { ringMessage } from '../../shared/protocol/ring.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { createConnectionPool } from './connections.ts';
import { createDoorbellStreams } from './doorbell-streams.ts';
import { createBlockingStreams, READ_COUNT, type TokenStream, type TokenStreams } from './token-streams.ts';

/** Far longer than anything here takes, and shorter than the test's own limit. */
const LONG_MS = 4_000;
const SHORT_MS = 50;

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

let requests = 0;
const newRequest = () => `request${requests++}`;
const { signal } = new AbortController();
const token = (position: number): TokenEvent => ({ kind: 'token', choice: 0, position, id: 1, text: 'x' });
const tokens = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => token(from + index));
const started: TokenEvent = { kind: 'started', choice: 0, promptTokens: 1 };
const finished = (completionTokens: number): TokenEvent => ({
  kind: 'finished',
  choice: 0,
  reason: 'stop',
  text: '',
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens,
});

/** Appends the same entries to streams as a host does: all of a step in one transaction, and behind them one ring. */
async function append(streams: TokenStreams, requestIds: readonly string[], events: readonly TokenEvent[]) {
  const writes = redis.client.multi();
  const texts = events.map((event) => JSON.stringify(event));
  for (const requestId of requestIds) {
    for (const text of texts) writes.xadd(tokenStreamKey(requestId), '*', TOKEN_STREAM_FIELD, text);
  }
  const rings = requestIds.map((requestId) => ({ requestId, beforeId: '', events: texts }));
  if (streams.doorbell !== undefined) writes.publish(streams.doorbell, ringMessage(rings));
  await writes.exec();
}

/** Appends entries of which nobody is told. */
const appendSilently = (requestId: string, events: readonly TokenEvent[]) =>
  append(createBlockingStreams(createConnectionPool(redis.client)), [requestId], events);

/** Reads until there are `count` events, each counted once. */
async function readAll(stream: TokenStream, count: number): Promise<TokenEvent[]> {
  const got: TokenEvent[] = [];
  while (got.length < count) got.push(...(await stream.read(LONG_MS)));
  return got;
}

describe.each([
  ['blocking', async () => createBlockingStreams(createConnectionPool(redis.client))],
  ['doorbell', () => createDoorbellStreams(redis.client, 'conformance')],
] as const)('%s streams', (_, create) => {
  let streams: TokenStreams;
  beforeAll(async () => {
    streams = await create();
  });
  afterAll(() => streams.close());

  test('give at once what is there, then wait for what comes', async () => {
    const requestId = newRequest();
    await append(streams, [requestId], [started, token(0)]);
    const stream = streams.open(requestId, signal);
    expect(await stream.read(LONG_MS)).toEqual([started, token(0)]);
    const next = stream.read(LONG_MS);
    await sleep(20);
    await append(streams, [requestId], [token(1)]);
    expect(await next).toEqual([token(1)]);
    stream.close();
  });

  test('give what came while nobody read', async () => {
    const requestId = newRequest();
    const stream = streams.open(requestId, signal);
    await append(streams, [requestId], [started]);
    expect(await stream.read(LONG_MS)).toEqual([started]);
    await append(streams, [requestId], [token(0)]);
    await append(streams, [requestId], [token(1)]);
    await sleep(20);
    expect(await stream.read(LONG_MS)).toEqual([token(0), token(1)]);
    stream.close();
  });

  test('give nothing when nothing came in time', async () => {
    const stream = streams.open(newRequest(), signal);
    const startedMs = performance.now();
    expect(await stream.read(SHORT_MS)).toEqual([]);
    expect(await stream.read(SHORT_MS)).toEqual([]);
    const tookMs = performance.now() - startedMs;
    expect(tookMs).toBeGreaterThan(2 * SHORT_MS - 4);
    expect(tookMs).toBeLessThan(LONG_MS);
    stream.close();
  });

  test('give more than one read takes in several, without a wait between', async () => {
    const requestId = newRequest();
    const events = tokens(0, 2 * READ_COUNT + 1);
    await append(streams, [requestId], events);
    const stream = streams.open(requestId, signal);
    const startedMs = performance.now();
    expect(await readAll(stream, events.length)).toEqual(events);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS);
    stream.close();
  });

  test('give a reader that lags all there is, in order', async () => {
    const requestId = newRequest();
    const stream = streams.open(requestId, signal);
    await append(streams, [requestId], [started]);
    expect(await stream.read(LONG_MS)).toEqual([started]);
    const events = tokens(0, 5 * READ_COUNT);
    for (let at = 0; at < events.length; at += 32)
      await append(streams, [requestId], events.slice(at, at + 32));
    await sleep(20);
    const first = await stream.read(LONG_MS);
    expect(first.length).toBeLessThanOrEqual(READ_COUNT);
    expect([...first, ...(await readAll(stream, events.length - first.length))]).toEqual(events);
    const next = stream.read(LONG_MS);
    await append(streams, [requestId], [token(events.length)]);
    expect(await next).toEqual([token(events.length)]);
    stream.close();
  });

  test('give many readers each their own', async () => {
    const ids = Array.from({ length: 300 }, newRequest);
    const reads = ids.map((requestId) => streams.open(requestId, signal).read(LONG_MS));
    await sleep(50);
    for (const [index, requestId] of ids.entries()) {
      void append(streams, [requestId], [{ ...started, promptTokens: index }]);
    }
    expect(await Promise.all(reads)).toEqual(ids.map((_, index) => [{ ...started, promptTokens: index }]));
  });

  test('end a read when its signal aborts, and read nothing afterwards', async () => {
    const controller = new AbortController();
    const stream = streams.open(newRequest(), controller.signal);
    const read = stream.read(LONG_MS);
    await sleep(20);
    const startedMs = performance.now();
    controller.abort(new Error('gone'));
    await expect(read).rejects.toThrow('gone');
    await expect(stream.read(LONG_MS)).rejects.toThrow('gone');
    expect(performance.now() - startedMs).toBeLessThan(100);
    stream.close();
  });
});

describe('doorbell streams', () => {
  let streams: TokenStreams;
  let names = 0;
  const create = async () => {
    streams = await createDoorbellStreams(redis.client, `own${names++}`);
    return streams;
  };
  const xreads = async () =>
    Number(/cmdstat_xread:calls=(\d+)/.exec(await redis.client.info('commandstats'))?.[1] ?? 0);

  /** A stream that is live: all that was written was read. */
  async function openLive(events: readonly TokenEvent[] = [started]) {
    const requestId = newRequest();
    await append(streams, [requestId], events);
    const stream = streams.open(requestId, signal);
    expect(await stream.read(LONG_MS)).toEqual(events);
    return { requestId, stream };
  }

  test('bring what is told without a command, and no connection each', async () => {
    await create();
    const opened = await Promise.all(Array.from({ length: 500 }, () => openLive()));
    const ids = opened.map(({ requestId }) => requestId);
    const reads = opened.map(({ stream }) => stream.read(LONG_MS));
    // Until what was told of what they have read has been heard as well.
    await sleep(100);
    await redis.client.config('RESETSTAT');
    await append(streams, ids, [token(0)]);
    expect(await Promise.all(reads)).toEqual(ids.map(() => [token(0)]));
    expect(await xreads()).toBe(0);
    expect(Number(/connected_clients:(\d+)/.exec(await redis.client.info('clients'))![1])).toBeLessThan(10);
    streams.close();
  });

  test('read many streams that are opened together with few commands', async () => {
    await create();
    await redis.client.config('RESETSTAT');
    await Promise.all(Array.from({ length: 500 }, () => streams.open(newRequest(), signal).read(SHORT_MS)));
    // Once when they are opened, and once when the time is up.
    expect(await xreads()).toBeLessThanOrEqual(8);
    streams.close();
  });

  test('find what nobody told when the wait is over', async () => {
    await create();
    const { requestId, stream } = await openLive();
    const read = stream.read(SHORT_MS);
    await appendSilently(requestId, [token(0)]);
    expect(await read).toEqual([token(0)]);
    streams.close();
  });

  test('find a token that was not told as soon as a later one is', async () => {
    await create();
    const { requestId, stream } = await openLive([started, ...tokens(0, 300)].slice(0, READ_COUNT - 1));
    const next = READ_COUNT - 2;
    await appendSilently(requestId, [token(next)]);
    const read = readAll(stream, 2);
    await append(streams, [requestId], [token(next + 1)]);
    expect(await read).toEqual([token(next), token(next + 1)]);
    streams.close();
  });

  test('find a last token that was not told as soon as the end is', async () => {
    await create();
    const { requestId, stream } = await openLive([started, token(0)]);
    await appendSilently(requestId, [token(1)]);
    await append(streams, [requestId], [finished(2)]);
    expect(await readAll(stream, 2)).toEqual([token(1), finished(2)]);
    streams.close();
  });

  test('find what the host before could not tell as soon as another takes over', async () => {
    await create();
    const { requestId, stream } = await openLive([started, token(0)]);
    await appendSilently(requestId, [token(1)]);
    await append(streams, [requestId], [started]);
    await append(streams, [requestId], [token(2)]);
    expect(await readAll(stream, 2)).toEqual([token(1), token(2)]);
    streams.close();
  });

  test('look at all streams once the connection that listens is back', async () => {
    await create();
    const { requestId, stream } = await openLive();
    const read = stream.read(LONG_MS);
    const startedMs = performance.now();
    await appendSilently(requestId, [token(0)]);
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    expect(await read).toEqual([token(0)]);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS);
    const next = stream.read(LONG_MS);
    stream.close();
    expect(await next).toEqual([]);
    streams.close();
  });

  test('read where they do not understand what is told', async () => {
    await create();
    const { requestId, stream } = await openLive();
    await appendSilently(requestId, [token(0)]);
    const read = stream.read(LONG_MS);
    await redis.client.publish(streams.doorbell!, `${requestId} other`);
    expect(await read).toEqual([token(0)]);
    streams.close();
  });
});
