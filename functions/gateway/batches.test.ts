import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { BATCH_PRIORITY } from '../../shared/admission/fair-priority.ts';
import { hostKey } from '../../shared/protocol/keys.ts';
import {
  type BatchBed,
  chatLine,
  chatLines,
  contentOf,
  createBatchBed,
} from '../../test/support/gateway/batch-bed.ts';
import { MODEL, readJson } from '../../test/support/gateway/bed.ts';
import { answer, hostRecord, type Script } from '../../test/support/gateway/scripted-pool.ts';

const DAY_S = 24 * 60 * 60;

let bed: BatchBed;
let nowMs = Date.now();
const clock = { nowMs: () => nowMs };
let release = () => {};
beforeAll(async () => {
  bed = await createBatchBed({ openBatches: 3 }, { clock });
});
afterEach(() => release());
afterAll(() => bed.close());

const echo: Script = (job, emit) => emit(...answer(job.choice, ['to ', contentOf(job)]));

/** Answers some requests at once, and the others when the test lets it. */
function playAndHold(isHeld: (content: string) => boolean): void {
  const { promise, resolve } = Promise.withResolvers<void>();
  release = resolve;
  bed.pool.play(async (job, emit) => {
    if (isHeld(contentOf(job))) await promise;
    await echo(job, emit);
  });
}

const fail = (status: number, code: string): Script => {
  const error = { status, type: 'server_error', code, param: null, message: 'No' };
  return ({ choice }, emit) => emit({ kind: 'failed', choice, error });
};

/** How often the pool was asked something. */
const timesAsked = (content: string): number =>
  bed.pool.jobs.filter((job) => contentOf(job) === content).length;

describe('a batch', () => {
  test('answers each of its lines as the endpoint itself would', async () => {
    bed.pool.play(echo);
    const lines = [...chatLines(40), chatLine('pair', 'two', { n: 2, seed: 5, max_tokens: 7 })];
    const { id, ...created } = await bed.submit(lines);
    expect(id).toMatch(/^batch_[0-9a-f]{32}$/);
    const nowS = Math.floor(nowMs / 1_000);
    expect(created).toMatchObject({
      object: 'batch',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      created_at: nowS,
      expires_at: nowS + DAY_S,
      errors: null,
      metadata: null,
    });

    const batch = await bed.until(id, 'completed');
    expect(batch.request_counts).toEqual({ total: 41, completed: 41, failed: 0 });
    expect(batch).toMatchObject({
      in_progress_at: nowS,
      finalizing_at: nowS,
      completed_at: nowS,
      failed_at: null,
      error_file_id: null,
    });
    const results = await bed.results(batch.output_file_id);
    expect(results.map((result) => result.custom_id).sort()).toEqual(
      lines.map((line) => line.custom_id).sort(),
    );
    expect(new Set(results.map((result) => result.id)).size).toBe(41);
    const pair = results.find((result) => result.custom_id === 'pair')!;
    expect(pair).toMatchObject({ id: expect.stringMatching(/^batch_req_/), error: null });
    expect(pair.response).toMatchObject({
      status_code: 200,
      request_id: `${id}-41`,
      body: {
        object: 'chat.completion',
        model: MODEL,
        choices: [{ message: { content: 'to two' } }, { index: 1, message: { content: 'to two' } }],
        usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
      },
    });
    expect(
      bed.pool.jobs.filter((job) => contentOf(job) === 'two').map(({ sampling }) => sampling.seed),
    ).toEqual(expect.arrayContaining([5, 6]));
    expect(await bed.redis.client.keys(`janus:tokens:${id}*`)).toEqual([]);

    const file = await bed.client.files.retrieve(batch.output_file_id!);
    expect(file).toMatchObject({ purpose: 'batch_output', filename: `${id}_output.jsonl` });
  });

  test('goes behind all interactive requests that wait', async () => {
    // The pool takes 16 at a time, but tells of slots for all lines.
    const eager = await createBatchBed({ linesInFlight: 32 });
    const { attention, ...host } = hostRecord(MODEL, 'host', 'ready');
    const large = { ...host, attention: attention.map((instance) => ({ ...instance, slots: 64 })) };
    await eager.redis.client.set(hostKey(MODEL, 'host'), JSON.stringify(large));
    const { promise, resolve } = Promise.withResolvers<void>();
    eager.pool.play(async (job, emit) => {
      await promise;
      await echo(job, emit);
    });
    const { id } = await eager.submit(chatLines(32));
    await vi.waitFor(() => expect(eager.pool.jobs).toHaveLength(16));
    const asked = Array.from({ length: 8 }, (_, index) =>
      eager.client.chat.completions.create({
        model: MODEL,
        messages: [{ role: 'user', content: `now ${index}` }],
      }),
    );
    const beforeBatches = `(${BATCH_PRIORITY * 2 ** 32}`;
    const waiting = `janus:requests.{${MODEL}}:prioritized`;
    const queued = () => eager.redis.client.zcount(waiting, '-inf', beforeBatches);
    await vi.waitFor(async () => expect(await queued()).toBeGreaterThanOrEqual(8));
    resolve();
    await Promise.all(asked);
    await eager.until(id, 'completed');
    const next = eager.pool.jobs.slice(16, 24).map(contentOf);
    expect(next.every((content) => content.startsWith('now '))).toBe(true);
    await eager.close();
  });

  test('of which a bounded number of lines is with the pools', async () => {
    playAndHold((content) => content.startsWith('line-'));
    const before = bed.pool.jobs.length;
    const { id } = await bed.submit(chatLines(12));
    await vi.waitFor(() => expect(bed.pool.jobs.length).toBe(before + 4));
    const running = await bed.until(id, 'in_progress');
    expect(running.request_counts).toEqual({ total: 12, completed: 0, failed: 0 });
    await sleep(100);
    expect(bed.pool.jobs.length).toBe(before + 4);
    release();
    await bed.until(id, 'completed');
  });

  test('may hold text completions', async () => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, ['text'])));
    const line = {
      custom_id: 'a',
      method: 'POST',
      url: '/v1/completions',
      body: { model: MODEL, prompt: 'x' },
    };
    const file = await bed.client.files.create({
      file: new File([`${JSON.stringify(line)}\n`], 'in.jsonl'),
      purpose: 'batch',
    });
    const { id } = await bed.client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/completions',
      completion_window: '24h',
      metadata: { project: 'x' },
    });
    const batch = await bed.until(id, 'completed');
    expect(batch.metadata).toEqual({ project: 'x' });
    const [result] = await bed.results(batch.output_file_id);
    expect(result!.response!.body).toMatchObject({ object: 'text_completion', choices: [{ text: 'text' }] });
  });
});

describe('a line that fails', () => {
  test('is in the error file with the answer that the endpoint would give', async () => {
    bed.pool.play((job, emit) =>
      (contentOf(job) === 'bad' ? fail(400, 'context_length_exceeded') : echo)(job, emit),
    );
    const lines = [chatLine('a'), chatLine('b', 'bad'), chatLine('c', 'x', { stop_token_ids: [9_999] })];
    const { id } = await bed.submit(lines);
    const batch = await bed.until(id, 'completed');
    expect(batch.request_counts).toEqual({ total: 3, completed: 1, failed: 2 });
    expect((await bed.results(batch.output_file_id)).map((result) => result.custom_id)).toEqual(['a']);
    const errors = await bed.results(batch.error_file_id);
    const byId = Object.fromEntries(errors.map((result) => [result.custom_id, result]));
    expect(byId.b).toMatchObject({
      error: null,
      response: { status_code: 400, body: { error: { code: 'context_length_exceeded', message: 'No' } } },
    });
    expect(byId.c!.response).toMatchObject({
      status_code: 400,
      body: { error: { param: 'stop_token_ids' } },
    });
    expect(timesAsked('bad')).toBe(1);
  });

  test('for want of capacity is tried again, a few times', async () => {
    let refusals = 2;
    bed.pool.play((job, emit) => {
      const content = contentOf(job);
      if (content === 'full') return fail(503, 'overloaded')(job, emit);
      if (content === 'busy' && refusals > 0) {
        refusals -= 1;
        return fail(429, 'busy')(job, emit);
      }
      return echo(job, emit);
    });
    const { id } = await bed.submit([chatLine('a', 'full'), chatLine('b', 'busy')]);
    const batch = await bed.until(id, 'completed');
    expect(batch.request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
    expect(timesAsked('full')).toBe(3);
    expect(timesAsked('busy')).toBe(3);
    const [failed] = await bed.results(batch.error_file_id);
    expect(failed).toMatchObject({ custom_id: 'a', response: { status_code: 503 } });
  });
});

describe('a batch that cannot be', () => {
  test('fails with the lines that are wrong', async () => {
    const { id } = await bed.submit([chatLine('a'), chatLine('a'), chatLine('b', 'x', { stream: true })]);
    const batch = await bed.until(id, 'failed');
    expect(batch.errors).toEqual({
      object: 'list',
      data: [
        expect.objectContaining({ line: 2, code: 'duplicate_custom_id', param: 'custom_id' }),
        expect.objectContaining({ line: 3, code: 'invalid_request', param: 'body.stream' }),
      ],
    });
    expect(batch.failed_at).toBe(Math.floor(nowMs / 1_000));
    await expect(bed.client.batches.cancel(id)).rejects.toMatchObject({ status: 409 });
  });

  test.each<[string, object, string]>([
    ['input_file_id absent', { input_file_id: undefined }, 'input_file_id'],
    ['an unknown file', { input_file_id: 'file-x' }, 'input_file_id'],
    ['another endpoint', { endpoint: '/v1/embeddings' }, 'endpoint'],
    ['another window', { completion_window: '1h' }, 'completion_window'],
    ['metadata that is too long', { metadata: { a: 'x'.repeat(513) } }, 'metadata.a'],
    [
      'too much metadata',
      { metadata: Object.fromEntries([...Array(17).keys()].map((key) => [key, ''])) },
      'metadata',
    ],
    ['a time to live of its results', { output_expires_after: { seconds: 60 } }, 'output_expires_after'],
  ])('is refused: %s', async (_, fields, param) => {
    const base = { input_file_id: 'file-x', endpoint: '/v1/chat/completions', completion_window: '24h' };
    const response = await bed.post('/v1/batches', { ...base, ...fields });
    expect([response.status, (await readJson(response)).error.param]).toEqual([400, param]);
  });

  test('is refused while too many are open', async () => {
    playAndHold(() => true);
    const open = [
      await bed.submit(chatLines(1)),
      await bed.submit(chatLines(1)),
      await bed.submit(chatLines(1)),
    ];
    await expect(bed.submit(chatLines(1))).rejects.toMatchObject({ status: 429, code: 'too_many_batches' });
    release();
    for (const { id } of open) await bed.until(id, 'completed');
  });

  test('is not found', async () => {
    await expect(bed.client.batches.retrieve('batch_x')).rejects.toThrow(OpenAI.NotFoundError);
    await expect(bed.client.batches.cancel('batch_x')).rejects.toThrow(OpenAI.NotFoundError);
  });
});

test('batches are listed by pages, newest first', async () => {
  bed.pool.play(echo);
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) {
    const { id } = await bed.submit(chatLines(1));
    await bed.until(id, 'completed');
    ids.unshift(id);
  }
  const page = await bed.client.batches.list({ limit: 2 });
  expect(page.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  expect(page.hasNextPage()).toBe(true);
  expect((await page.getNextPage()).data[0]!.id).toBe(ids[2]);
});

test('the input of a batch is kept until its end', async () => {
  playAndHold(() => true);
  const { id, input_file_id: inputId } = await bed.submit(chatLines(1));
  await expect(bed.client.files.delete(inputId)).rejects.toMatchObject({ status: 409, code: 'file_in_use' });
  release();
  await bed.until(id, 'completed');
  expect(await bed.client.files.delete(inputId)).toMatchObject({ deleted: true });
});

describe('a batch that is cancelled', () => {
  test('keeps what was answered and begins nothing more', async () => {
    playAndHold((content) => content !== 'line-1');
    const taken = bed.pool.jobs.length + 5;
    const { id } = await bed.submit(chatLines(20));
    await vi.waitFor(async () => {
      expect((await bed.client.batches.retrieve(id)).request_counts?.completed).toBe(1);
      expect(bed.pool.jobs.length).toBe(taken);
    });
    expect((await bed.client.batches.cancel(id)).status).toMatch(/^cancelling|cancelled$/);
    const batch = await bed.until(id, 'cancelled');
    expect(batch.request_counts).toEqual({ total: 20, completed: 1, failed: 0 });
    expect(batch.cancelling_at).toBe(Math.floor(nowMs / 1_000));
    expect((await bed.results(batch.output_file_id)).map((result) => result.custom_id)).toEqual(['line-1']);
    expect(batch.error_file_id).toBeNull();
    expect(bed.pool.jobs.length).toBe(taken);
    // The pools are told that nobody waits for what they had begun.
    expect((await bed.redis.client.keys(`janus:cancelled:${id}-*`)).length).toBe(4);
    expect((await bed.client.batches.cancel(id)).status).toBe('cancelled');
  });

  test('without any answer has no files', async () => {
    playAndHold(() => true);
    const { id } = await bed.submit(chatLines(2));
    await bed.until(id, 'in_progress');
    await bed.client.batches.cancel(id);
    expect(await bed.until(id, 'cancelled')).toMatchObject({ output_file_id: null, error_file_id: null });
  });
});

test('a batch that expires keeps what was answered, and tells of each other line that it expired', async () => {
  playAndHold((content) => content !== 'line-1');
  const { id } = await bed.submit(chatLines(20));
  await vi.waitFor(async () => {
    expect((await bed.client.batches.retrieve(id)).request_counts?.completed).toBe(1);
  });
  nowMs += DAY_S * 1_000;
  const batch = await bed.until(id, 'expired');
  expect(batch.expired_at).toBe(Math.floor(nowMs / 1_000));
  expect(batch.request_counts).toEqual({ total: 20, completed: 1, failed: 19 });
  expect((await bed.results(batch.output_file_id)).map((result) => result.custom_id)).toEqual(['line-1']);
  const errors = await bed.results(batch.error_file_id);
  expect(errors).toHaveLength(19);
  for (const { response, error } of errors) expect([response, error?.code]).toEqual([null, 'batch_expired']);
});
