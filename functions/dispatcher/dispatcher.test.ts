import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  cancelChannel,
  cancelledKey,
  QUEUE_PREFIX,
  requestQueueName,
  TOKEN_STREAM_FIELD,
  tokenStreamKey,
} from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { startRedis, type TestRedis } from '../../test/support/gateway/redis-server.ts';
import { createConnectionPool } from './connections.ts';
import { createDispatcher, type Dispatcher } from './dispatcher.ts';
import { DispatchError } from './errors.ts';
import { BATCH_PRIORITY } from './queue.ts';

const MODEL = 'org/model:v1';

let redis: TestRedis;
let dispatcher: Dispatcher;
beforeAll(async () => {
  redis = await startRedis();
  dispatcher = createDispatcher(redis.client);
});
afterAll(async () => {
  await dispatcher.close();
  await redis.stop();
});

const job = (requestId: string, choice: number): SequenceJob => ({
  requestId,
  model: MODEL,
  choice,
  prompt: { kind: 'text', text: 'x' },
  sampling: {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    presencePenalty: 0,
    frequencyPenalty: 0,
    repetitionPenalty: 1,
    seed: choice,
    logitBias: [],
    stop: [],
    stopTokenIds: [],
    ignoreEndOfSequence: false,
    topLogprobs: null,
  },
  maxTokens: 1,
  acceptedAtMs: 1,
});

const token = (position: number): TokenEvent => ({
  kind: 'token',
  choice: 0,
  position,
  id: position,
  text: 'x',
});
const write = (requestId: string, event: TokenEvent) =>
  redis.client.xadd(tokenStreamKey(requestId), '*', TOKEN_STREAM_FIELD, JSON.stringify(event));

const timeouts = { queueWaitMs: 5_000, silenceMs: 5_000, overallMs: 10_000 };
const read = (
  requestId: string,
  given: Partial<typeof timeouts> = {},
  signal = new AbortController().signal,
) => dispatcher.readEvents(requestId, { signal, timeouts: { ...timeouts, ...given } });

async function fault(events: AsyncIterable<unknown>): Promise<string> {
  try {
    for await (const _ of events);
  } catch (error) {
    if (error instanceof DispatchError) return error.fault;
    throw error;
  }
  return 'none';
}

describe('dispatch', () => {
  test('queues one job per sequence, before batch lines that wait already', async () => {
    const queue = new Queue(requestQueueName(MODEL), { connection: redis.client, prefix: QUEUE_PREFIX });
    await queue.add('line', { requestId: 'batch' }, { priority: BATCH_PRIORITY });
    await dispatcher.dispatch([job('r1', 0), job('r1', 1)]);
    const stored = await queue.getJob('r1-1');
    expect(stored?.data).toEqual(job('r1', 1));
    expect(stored?.opts.attempts).toBeGreaterThan(1);
    expect(stored?.opts.removeOnComplete).toMatchObject({
      age: expect.any(Number),
      count: expect.any(Number),
    });
    expect(stored?.opts.removeOnFail).toMatchObject({ age: expect.any(Number), count: expect.any(Number) });

    const order: string[] = [];
    const connection = redis.client.duplicate();
    const worker = new Worker(queue.name, async ({ data }) => order.push(data.requestId), {
      connection,
      prefix: QUEUE_PREFIX,
    });
    await once(worker, 'drained');
    await worker.close();
    connection.disconnect();
    await queue.close();
    expect(order).toEqual(['r1', 'r1', 'batch']);
  });
});

describe('readEvents', () => {
  test('gives all that is there in one array, then what comes', async () => {
    await write('r2', token(0));
    await write('r2', token(1));
    const events = read('r2');
    expect((await events.next()).value).toEqual([token(0), token(1)]);
    const next = events.next();
    await sleep(20);
    await write('r2', token(2));
    expect((await next).value).toEqual([token(2)]);
    await events.return(undefined as never);
  });

  test('says that nothing came for a while', async () => {
    expect((await read('r3').next()).value).toEqual([]);
  });

  test('has one deadline for the first event, one for the next, and one for all', async () => {
    expect(await fault(read('r4', { queueWaitMs: 50 }))).toBe('queue');
    await write('r4', token(0));
    expect(await fault(read('r4', { queueWaitMs: 1_000, silenceMs: 50 }))).toBe('silence');
    expect(await fault(read('r4', { overallMs: 50 }))).toBe('overall');
  });

  test('ends at once when its signal aborts, with the signal’s reason', async () => {
    const controller = new AbortController();
    const next = read('r5', {}, controller.signal).next();
    await sleep(20);
    const startedMs = performance.now();
    controller.abort(new Error('gone'));
    await expect(next).rejects.toThrow('gone');
    expect(performance.now() - startedMs).toBeLessThan(100);
  });

  test('does not wait for a stream that Redis has lost', async () => {
    await write('r6', token(0));
    const events = read('r6', { silenceMs: 30_000 });
    await events.next();
    await redis.client.del(tokenStreamKey('r6'));
    expect(await fault(events)).toBe('broker');
  });
});

describe('cancel', () => {
  test('tells the channel each time, and keeps the first time', async () => {
    const subscriber = redis.client.duplicate();
    await subscriber.subscribe(cancelChannel(MODEL));
    const heard: string[] = [];
    subscriber.on('message', (_, requestId: string) => heard.push(requestId));
    const first = await dispatcher.cancel('r7', MODEL);
    await sleep(5);
    expect(await dispatcher.cancel('r7', MODEL)).toBe(first);
    expect(await redis.client.get(cancelledKey('r7'))).toBe(String(first));
    expect(Math.abs(first - Date.now())).toBeLessThan(5_000);
    expect(await redis.client.ttl(cancelledKey('r7'))).toBeGreaterThan(0);
    await expect.poll(() => heard).toEqual(['r7', 'r7']);
    subscriber.disconnect();
  });
});

describe('the pool of blocking connections', () => {
  test('opens no more than its limit, serves those who wait in turn, and refuses more than may wait', async () => {
    const pool = createConnectionPool(redis.client, { connections: 1, waiting: 1 });
    const order: number[] = [];
    const hold = Promise.withResolvers<void>();
    const first = pool.run(async (connection) => {
      await hold.promise;
      order.push(1);
      return connection;
    });
    const second = pool.run(async (connection) => {
      order.push(2);
      return connection;
    });
    await expect(pool.run(async () => {})).rejects.toMatchObject({ fault: 'busy' });
    hold.resolve();
    expect(await first).toBe(await second);
    expect(order).toEqual([1, 2]);
    pool.close();
  });

  test('takes a connection back from a command that fails', async () => {
    const pool = createConnectionPool(redis.client, { connections: 1, waiting: 0 });
    await expect(pool.run((connection) => connection.call('NONSENSE'))).rejects.toThrow(/unknown command/i);
    expect(await pool.run((connection) => connection.ping())).toBe('PONG');
    pool.close();
  });
});
