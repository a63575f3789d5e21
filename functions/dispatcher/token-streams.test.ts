import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ringFor, TOKEN_STREAM_FIELD, tokenStreamKey } from '../../shared/protocol/keys.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { createConnectionPool } from './connections.ts';
import { createDoorbellStreams } from './doorbell-streams.ts';
import { createBlockingStreams, READ_COUNT, type StreamEntry, type TokenStreams } from './token-streams.ts';

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
const values = (entries: readonly StreamEntry[]) => entries.map(([, fields]) => fields[1]);

/** Appends entries as a host does: all of a step in one transaction, and behind them one ring. */
async function append(streams: TokenStreams, requestIds: readonly string[], ...texts: string[]) {
  const writes = redis.client.multi();
  for (const requestId of requestIds) {
    for (const text of texts) writes.xadd(tokenStreamKey(requestId), '*', TOKEN_STREAM_FIELD, text);
  }
  if (streams.doorbell !== undefined) writes.publish(streams.doorbell, ringFor(requestIds));
  await writes.exec();
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
    await append(streams, [requestId], 'a', 'b');
    const stream = streams.open(requestId);
    const first = await stream.read('0', LONG_MS, signal);
    expect(values(first)).toEqual(['a', 'b']);
    const next = stream.read(first[1]![0], LONG_MS, signal);
    await sleep(20);
    await append(streams, [requestId], 'c');
    expect(values(await next)).toEqual(['c']);
    stream.close();
  });

  test('give what came while nobody read', async () => {
    const requestId = newRequest();
    const stream = streams.open(requestId);
    await append(streams, [requestId], 'a');
    const [[afterA]] = (await stream.read('0', LONG_MS, signal)) as [StreamEntry];
    await append(streams, [requestId], 'b');
    await append(streams, [requestId], 'c');
    await sleep(20);
    expect(values(await stream.read(afterA, LONG_MS, signal))).toEqual(['b', 'c']);
    stream.close();
  });

  test('give nothing when nothing came in time', async () => {
    const stream = streams.open(newRequest());
    const startedMs = performance.now();
    expect(await stream.read('0', SHORT_MS, signal)).toEqual([]);
    expect(await stream.read('0', SHORT_MS, signal)).toEqual([]);
    expect(performance.now() - startedMs).toBeGreaterThan(SHORT_MS - 2);
    stream.close();
  });

  test('give more than one read takes in several, without a wait between', async () => {
    const requestId = newRequest();
    const texts = Array.from({ length: 2 * READ_COUNT + 1 }, (_, i) => String(i));
    await append(streams, [requestId], ...texts);
    const stream = streams.open(requestId);
    const got: StreamEntry[] = [];
    const startedMs = performance.now();
    while (got.length < texts.length) {
      got.push(...(await stream.read(got.at(-1)?.[0] ?? '0', LONG_MS, signal)));
    }
    expect(values(got)).toEqual(texts);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS);
    stream.close();
  });

  test('give many readers each their own', async () => {
    const ids = Array.from({ length: 300 }, newRequest);
    const reads = ids.map((requestId) => streams.open(requestId).read('0', LONG_MS, signal));
    await sleep(50);
    for (const requestId of ids) void append(streams, [requestId], requestId);
    expect((await Promise.all(reads)).map(values)).toEqual(ids.map((requestId) => [requestId]));
  });
});

describe('doorbell streams', () => {
  test('read all that one ring names with few commands, and no connection each', async () => {
    const streams = await createDoorbellStreams(redis.client, 'few');
    const ids = Array.from({ length: 500 }, newRequest);
    const opened = ids.map((requestId) => streams.open(requestId));
    await Promise.all(opened.map((stream) => stream.read('0', 1, signal)));
    const reads = opened.map((stream) => stream.read('0', LONG_MS, signal));
    await redis.client.config('RESETSTAT');
    await append(streams, ids, 'x');
    await Promise.all(reads);
    const [, calls] = /cmdstat_xread:calls=(\d+)/.exec(await redis.client.info('commandstats'))!;
    expect(Number(calls)).toBeLessThanOrEqual(4);
    expect(Number(/connected_clients:(\d+)/.exec(await redis.client.info('clients'))![1])).toBeLessThan(10);
    streams.close();
  });

  test('find what nobody rang for when the wait is over', async () => {
    const streams = await createDoorbellStreams(redis.client, 'silent');
    const requestId = newRequest();
    const stream = streams.open(requestId);
    expect(await stream.read('0', 1, signal)).toEqual([]);
    const read = stream.read('0', SHORT_MS, signal);
    await redis.client.xadd(tokenStreamKey(requestId), '*', TOKEN_STREAM_FIELD, 'x');
    expect(values(await read)).toEqual(['x']);
    streams.close();
  });

  test('look at all streams once the connection that listens is back', async () => {
    const streams = await createDoorbellStreams(redis.client, 'cut');
    const requestId = newRequest();
    const stream = streams.open(requestId);
    expect(await stream.read('0', 1, signal)).toEqual([]);
    const read = stream.read('0', LONG_MS, signal);
    const startedMs = performance.now();
    await redis.client.xadd(tokenStreamKey(requestId), '*', TOKEN_STREAM_FIELD, 'x');
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    const entries = await read;
    expect(values(entries)).toEqual(['x']);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS);
    const next = stream.read(entries[0]![0], LONG_MS, signal);
    stream.close();
    expect(await next).toEqual([]);
    streams.close();
  });
});
