import { describe, expect, test, vi } from 'vitest';
import { FIRST_LEVEL, levelPriority, UNPLACED_TAG } from '../../shared/admission/fair-priority.ts';
import {
  cancelledKey,
  hostKey,
  membersKey,
  QUEUE_PREFIX,
  requestQueueName,
} from '../../shared/protocol/keys.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { type Json, MODEL, readJson, readSse } from '../../test/support/gateway/bed.ts';
import { useHoldingBed } from '../../test/support/gateway/held-answers.ts';
import { bearing } from '../../test/support/gateway/keyed-bed.ts';
import { hostRecord } from '../../test/support/gateway/scripted-pool.ts';
import { parseKey } from './access/key-text.ts';

/** Jobs that the scripted pool holds at once. */
const POOL_SLOTS = 16;

const bed = useHoldingBed();

const queueKey = (type: string) => `${QUEUE_PREFIX}:${requestQueueName(MODEL)}:${type}`;
/** Scores of what waits. */
async function waitingScores(): Promise<number[]> {
  const told = await bed.redis.client.zrange(queueKey('prioritized'), '0', '-1', 'WITHSCORES');
  return told.filter((_, index) => index % 2 === 1).map(Number);
}
const isPlaced = (score: number) =>
  (Math.floor(score / 2 ** 32) - levelPriority(FIRST_LEVEL)) % (UNPLACED_TAG + 1) !== UNPLACED_TAG;
/** Waits until so many requests wait, all in their places. */
const untilWaiting = (count: number) =>
  vi.waitFor(
    async () => {
      const scores = await waitingScores();
      expect(scores.length).toBe(count);
      expect(scores.every(isPlaced)).toBe(true);
    },
    { timeout: 5_000, interval: 2 },
  );
const says = (content: string) => ({ messages: [{ role: 'user', content }] });
const contentOf = ({ prompt }: SequenceJob) => (prompt.kind === 'chat' ? prompt.messages[0]!.content : '');

/** What waits, in the order in which it will be taken. */
async function waitingContents(): Promise<string[]> {
  const ids = await bed.redis.client.zrange(queueKey('prioritized'), '0', '-1');
  const jobs = await Promise.all(ids.map((id) => bed.redis.client.hget(queueKey(id), 'data')));
  return jobs.map((job) => contentOf(JSON.parse(job!) as SequenceJob));
}

/** Fills the pool with requests of one key that it answers when the test says so. @returns their answers */
async function fillPool(key: string): Promise<Promise<Response>[]> {
  bed.hold(0);
  const before = bed.pool.jobs.length;
  const answers = Array.from({ length: POOL_SLOTS }, () => bed.ask(key, says('held')));
  await vi.waitFor(() => expect(bed.pool.jobs.length).toBe(before + POOL_SLOTS), { timeout: 5_000 });
  return answers;
}

const statuses = async (answers: readonly Promise<Response>[]) =>
  new Set((await Promise.all(answers)).map(({ status }) => status));
const errorOf = async (response: Response): Promise<Json> => (await readJson(response)).error!;

describe('keys', () => {
  test('with one request are served among the next, behind another’s two hundred', async () => {
    const [flood, single] = [await bed.makeKey(), await bed.makeKey()];
    const answers = await fillPool(flood);
    for (let count = 0; count < 200; count++) answers.push(bed.ask(flood, says('flood')));
    await untilWaiting(200);
    const answered = bed.ask(single, says('single'));
    await untilWaiting(201);
    expect((await waitingContents()).indexOf('single')).toBeLessThan(2);
    const before = bed.pool.jobs.length;
    bed.release();
    expect((await answered).status).toBe(200);
    const after = bed.pool.jobs.slice(before).map(contentOf);
    // As many as the pool holds are taken at once.
    expect(after.indexOf('single')).toBeLessThan(POOL_SLOTS + 2);
    expect(await statuses(answers)).toEqual(new Set([200]));
  });

  test('share in turn, each in its own order', async () => {
    const [a, b] = [await bed.makeKey(), await bed.makeKey()];
    const answers = await fillPool(a);
    let waiting = 0;
    const ask = async (key: string, content: string, fields: object = {}) => {
      answers.push(bed.ask(key, { ...says(content), ...fields }));
      waiting += 1;
      await untilWaiting(waiting);
    };
    for (const content of ['a0', 'a1', 'a2']) await ask(a, content);
    for (const content of ['b0', 'b1']) await ask(b, content);
    expect(await waitingContents()).toEqual(['a0', 'b0', 'a1', 'b1', 'a2']);
    bed.release();
    expect(await statuses(answers)).toEqual(new Set([200]));
  });
});

describe('priorities', () => {
  test('put lower ones first and flex last, among the requests of all keys', async () => {
    const [plain, first] = [await bed.makeKey(), await bed.makeKey({ goesFirst: true })];
    const answers = await fillPool(plain);
    const asked: [key: string, content: string, fields: object][] = [
      [plain, 'flex', { service_tier: 'flex' }],
      [plain, 'later', { priority: 3 }],
      [plain, 'default', {}],
      [first, 'default too', { service_tier: 'auto' }],
      [first, 'before', { priority: -1 }],
      [first, 'priority', { service_tier: 'priority' }],
    ];
    for (const [index, [key, content, fields]] of asked.entries()) {
      answers.push(bed.ask(key, { ...says(content), ...fields }));
      await untilWaiting(index + 1);
    }
    const order = ['priority', 'before', 'default', 'default too', 'later', 'flex'];
    expect(await waitingContents()).toEqual(order);
    bed.release();
    expect(await statuses(answers)).toEqual(new Set([200]));
  });

  test.each([{ priority: -1 }, { service_tier: 'priority' }])(
    'before those of others are for keys that may: %j',
    async (fields) => {
      const response = await bed.ask(await bed.makeKey(), fields);
      expect(response.status).toBe(403);
      expect(await errorOf(response)).toMatchObject({ code: 'priority_not_allowed', param: 'priority' });
    },
  );

  test.each([
    [{ priority: 9 }, 'priority'],
    [{ priority: -9 }, 'priority'],
    [{ priority: 0.5 }, 'priority'],
    [{ priority: '1' }, 'priority'],
    [{ priority: 1, service_tier: 'flex' }, 'priority'],
    [{ service_tier: 'scale' }, 'service_tier'],
  ])('that make no sense are refused: %j', async (fields, param) => {
    const response = await bed.ask(await bed.makeKey(), fields);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param });
  });

  test('are told in the answer by their tier, where one was asked for', async () => {
    const key = await bed.makeKey();
    const tierOf = async (fields: object) => (await readJson(await bed.ask(key, fields))).service_tier;
    expect(await tierOf({})).toBeUndefined();
    expect(await tierOf({ service_tier: 'auto' })).toBe('default');
    expect(await tierOf({ service_tier: 'flex' })).toBe('flex');
    const { objects } = await readSse(await bed.ask(key, { service_tier: 'default', stream: true }));
    expect(new Set(objects.map(({ service_tier: tier }) => tier))).toEqual(new Set(['default']));
    const response = await bed.post(
      '/v1/responses',
      { model: MODEL, input: 'Hi', service_tier: 'flex' },
      { headers: bearing(key) },
    );
    expect((await readJson(response)).service_tier).toBe('flex');
  });
});

describe('x-request-timeout', () => {
  const within = (key: string, timeout: string, fields: object = {}) =>
    bed.ask(key, fields, { headers: { ...bearing(key), 'x-request-timeout': timeout } });

  test('is told to the pool, and refused where it is none', async () => {
    const key = await bed.makeKey();
    expect((await within(key, '30')).status).toBe(200);
    const job = bed.pool.jobs.at(-1)!;
    expect(job.deadlineAtMs! - job.acceptedAtMs).toBe(30_000);
    expect((await bed.ask(key)).status).toBe(200);
    expect(bed.pool.jobs.at(-1)).not.toHaveProperty('deadlineAtMs');
    const refused = await within(key, 'soon');
    expect(refused.status).toBe(400);
    expect(await errorOf(refused)).toMatchObject({ param: 'x-request-timeout' });
  });

  test('ends a request that nothing has come of with 504, and cancels it', async () => {
    bed.hold(0);
    const response = await within(await bed.makeKey(), '150ms');
    expect(response.status).toBe(504);
    expect(await errorOf(response)).toMatchObject({ code: 'deadline_exceeded', type: 'server_error' });
    expect(await bed.redis.client.exists(cancelledKey(bed.pool.jobs.at(-1)!.requestId))).toBe(1);
  });

  test('ends a stream with an error of its own', async () => {
    bed.hold(2);
    const response = await within(await bed.makeKey(), '200ms', { stream: true });
    expect(response.status).toBe(200);
    const { objects, done } = await readSse(response);
    expect(done).toBe(false);
    expect(objects.length).toBeGreaterThan(1);
    expect(objects.at(-1)).toMatchObject({ error: { code: 'deadline_exceeded' } });
    expect(await bed.redis.client.exists(cancelledKey(bed.pool.jobs.at(-1)!.requestId))).toBe(1);
  });
});

describe('the predicted first token', () => {
  /** A slot becomes free every second. */
  const pace = {
    stepMs: 10,
    promptTokenMs: 1,
    promptRowsPerStep: 128,
    promptTokens: 5,
    sequenceMs: POOL_SLOTS * 1_000,
    pendingPromptTokens: 0,
  };
  const tellPace = async (): Promise<void> => {
    const record = hostRecord(MODEL, 'host', 'ready');
    const attention = record.attention.map((instance) => ({ ...instance, slots: POOL_SLOTS, pace }));
    await bed.redis.client.sadd(membersKey(MODEL), 'host');
    await bed.redis.client.set(hostKey(MODEL, 'host'), JSON.stringify({ ...record, attention }), 'EX', 600);
  };

  test('decides who is let in: 429 where a key’s own requests are to blame, else 503', async () => {
    const [a, b, c] = [await bed.makeKey(), await bed.makeKey(), await bed.makeKey()];
    await tellPace();
    const bounded = await bed.open({ limits: { firstTokenMs: 2_500 } });
    const ask = (key: string) => bed.ask(key, {}, {}, bounded);
    const answers = await fillPool(a);

    for (const waiting of [1, 2]) {
      answers.push(ask(a));
      await untilWaiting(waiting);
    }
    const own = await ask(a);
    expect(own.status).toBe(429);
    expect(Number(own.headers.get('retry-after'))).toBe(1);
    const { code, message } = await errorOf(own);
    expect(code).toBe('rate_limit_exceeded');
    expect(message).toMatch(
      /predicted in 3\.\d+s \(3s in the queue, .* this gateway allows 2\.5s; try again in 1s$/,
    );
    expect(message).toContain(parseKey(a)!.id);

    answers.push(ask(b));
    await untilWaiting(3);
    const others = await ask(c);
    expect(others.status).toBe(503);
    expect(others.headers.get('retry-after')).toBe('1');
    expect(await errorOf(others)).toMatchObject({ code: 'overloaded' });

    bed.release();
    expect(await statuses(answers)).toEqual(new Set([200]));
    const admin = bearing(await bed.makeKey({ class: 'admin' }));
    const metrics = await (await fetch(`${bounded}/metrics`, { headers: admin })).text();
    expect(metrics).toContain(
      `janus:time_to_first_token_prediction_error_seconds_count{model_name="${MODEL}"} 3`,
    );
  });

  test('is held against the time that a client allows', async () => {
    const key = await bed.makeKey();
    await tellPace();
    const answers = await fillPool(key);
    const headers = { ...bearing(key), 'x-request-timeout': '500ms' };
    const before = bed.pool.jobs.length;
    const response = await bed.ask(key, {}, { headers });
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await errorOf(response)).message).toContain('x-request-timeout allows 500ms');
    expect(await waitingScores()).toEqual([]);
    expect(bed.pool.jobs.length).toBe(before);
    bed.release();
    expect(await statuses(answers)).toEqual(new Set([200]));
  });

  test('lets a long prompt in that nobody is before', async () => {
    await tellPace();
    const bounded = await bed.open({ limits: { firstTokenMs: 20 } });
    const response = await bed.ask(await bed.makeKey(), says('x'.repeat(400)), {}, bounded);
    expect(response.status).toBe(200);
  });
});
