import type OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { modelsKey, scalingTargetKey } from '../../shared/protocol/keys.ts';
import {
  type BatchBed,
  chatLine,
  chatLines,
  contentOf,
  createBatchBed,
  jsonl,
} from '../../test/support/gateway/batch-bed.ts';
import { MODEL } from '../../test/support/gateway/bed.ts';
import { makeKey } from '../../test/support/gateway/keyed-bed.ts';
import { rises, scrape } from '../../test/support/gateway/scrape.ts';
import {
  answer,
  modelCard,
  type Script,
  startScriptedPool,
} from '../../test/support/gateway/scripted-pool.ts';
import { RecordingTracer } from '../../test/support/recording-tracer.ts';
import { createPoolReader } from '../dispatcher/pool-reader.ts';
import { BATCH_TOKEN_SHARE } from './run/line-budget.ts';

const ENDPOINT = '/v1/chat/completions';
/** Of one answer: the prompt's as the scripted pool tells them, and one per text. */
const PROMPT_TOKENS = 3;
const ANSWER_TOKENS = 2;

const tracer = new RecordingTracer();
let bed: BatchBed;
beforeAll(async () => {
  bed = await createBatchBed({ askAgainMs: 100 }, { tracer });
});
beforeEach(() => bed.pool.play(echo));
afterAll(() => bed.close());

const echo: Script = (job, emit) => emit(...answer(job.choice, ['to ', contentOf(job)], PROMPT_TOKENS));

test('lines may be requests of the Responses API', async () => {
  const bodies = [
    { input: 'a', max_output_tokens: 7 },
    { input: [{ role: 'user', content: 'b' }], instructions: 'c' },
  ];
  const lines = bodies.map((body, index) => ({
    custom_id: `${index}`,
    method: 'POST',
    url: '/v1/responses',
    body: { model: MODEL, ...body },
  }));
  const file = await bed.client.files.create({
    file: new File([jsonl(lines)], 'in.jsonl'),
    purpose: 'batch',
  });
  const { id } = await bed.client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/responses',
    completion_window: '24h',
  });
  const batch = await bed.until(id, 'completed');
  expect(batch).toMatchObject({ endpoint: '/v1/responses', request_counts: { total: 2, completed: 2 } });
  const results = await bed.results(batch.output_file_id);
  const { response } = results.find((result) => result.custom_id === '0')!;
  expect(response!.body).toMatchObject({
    object: 'response',
    status: 'completed',
    max_output_tokens: 7,
    output: [{ type: 'message', content: [{ type: 'output_text', text: 'to a' }] }],
    usage: { input_tokens: PROMPT_TOKENS, output_tokens: ANSWER_TOKENS },
  });
});

test('lines count in the metrics apart from requests', async () => {
  bed.pool.play((job, emit) => {
    if (contentOf(job) !== 'bad') return echo(job, emit);
    const error = { status: 400, type: 'x', code: null, param: null, message: 'No' };
    return emit({ kind: 'failed', choice: job.choice, error });
  });
  const before = await scrape(bed.address);
  const { id } = await bed.submit([...chatLines(3), chatLine('bad')]);
  await bed.until(id, 'completed');
  const risen = Object.entries(rises(before, await scrape(bed.address)));
  const series = (name: string, more = '') => `janus:batch_${name}{model_name="${MODEL}"${more}}`;
  const ours = /^janus:(batch|request|prompt|generation|time_to|e2e)/;
  expect(Object.fromEntries(risen.filter(([name]) => ours.test(name)))).toEqual({
    [series('line_success_total')]: 3,
    [series('line_failures_total', ',code="400"')]: 1,
    [series('prompt_tokens_total')]: 3 * PROMPT_TOKENS,
    [series('generation_tokens_total')]: 3 * ANSWER_TOKENS,
  });
});

test('a line wakes a model that is asleep, since its scaler sees what waits in the queue', async () => {
  const { client, url } = bed.redis;
  await client.hset(modelsKey, 'asleep', JSON.stringify(modelCard('asleep')));
  await client.set(scalingTargetKey('asleep'), '{}');
  const { id } = await bed.submit([chatLine('one', 'one', { model: 'asleep' })]);
  const reader = createPoolReader(client);
  const queued = async () => (await reader.read()).find(({ model }) => model === 'asleep')?.queued;
  await expect.poll(queued).toBe(1);
  const pool = await startScriptedPool(url, 'asleep');
  expect(await bed.until(id, 'completed')).toMatchObject({ request_counts: { completed: 1 } });
  await pool.close();
});

test('each attempt at a line is a trace, which goes on in the pool', async () => {
  let failures = 0;
  bed.pool.play((job, emit) => {
    if (contentOf(job) !== 'second' || failures++ > 0) return echo(job, emit);
    const error = { status: 503, type: 'x', code: null, param: null, message: 'Not now' };
    return emit({ kind: 'failed', choice: job.choice, error });
  });
  const before = bed.pool.jobs.length;
  const { id } = await bed.submit([chatLine('first'), chatLine('second')]);
  await bed.until(id, 'completed');
  const spans = tracer.spans.filter(({ attributes }) => attributes['janus.batch_id'] === id);
  const told = spans.map(({ name, attributes, failure }) => [name, attributes['janus.batch_line'], failure]);
  const span = 'janus.batch_line';
  expect(told.sort()).toEqual([
    [span, 1, undefined],
    [span, 2, undefined],
    [span, 2, 'status 503'],
  ]);
  expect(spans.every(({ endMs }) => endMs !== undefined)).toBe(true);
  const whole = spans.find(({ failure }) => failure === undefined)!;
  expect(whole.attributes).toMatchObject({
    'janus.model': MODEL,
    'janus.completion_tokens': ANSWER_TOKENS,
  });
  expect(bed.pool.jobs.slice(before).map(({ trace }) => trace)).toEqual([span, span, span]);
});

test('a line whose job Redis has forgotten is queued anew', async () => {
  let forgotten = 0;
  bed.pool.play(async (job, emit) => {
    if (contentOf(job) === 'line-2' && forgotten++ === 0) return;
    await echo(job, emit);
  });
  const { id } = await bed.submit(chatLines(3));
  const batch = await bed.until(id, 'completed');
  expect(batch.request_counts).toEqual({ total: 3, completed: 3, failed: 0 });
  expect(forgotten).toBe(2);
});

describe('with tokens per minute', () => {
  const TOKENS_PER_MINUTE = 200;
  const MAX_TOKENS = 20;
  /** Of a line: its text of two tokens in a message of four more, and an answer. */
  const ESTIMATE = 6 + MAX_TOKENS;
  const fields = { max_tokens: MAX_TOKENS };
  /** A client with a key of its own. */
  const limited = async () => {
    const apiKey = await makeKey(bed.redis.client, { tokensPerMinute: TOKENS_PER_MINUTE });
    return bed.client.withOptions({ apiKey });
  };
  beforeAll(async () => {
    await limited();
    // Until the gateway notices that there are keys, it asks nobody for one.
    await vi.waitFor(async () => expect((await fetch(`${bed.address}/v1/models`)).status).toBe(401), 5_000);
  });

  const submit = async (client: OpenAI, lines: readonly object[]): Promise<string> => {
    const file = await client.files.create({ file: new File([jsonl(lines)], 'in.jsonl'), purpose: 'batch' });
    const request = { input_file_id: file.id, endpoint: ENDPOINT, completion_window: '24h' } as const;
    return (await client.batches.create(request)).id;
  };
  const completed = (client: OpenAI, id: string): Promise<OpenAI.Batch> =>
    vi.waitFor(
      async () => {
        const batch = await client.batches.retrieve(id);
        expect(batch.status).toBe('completed');
        return batch;
      },
      { timeout: 20_000 },
    );

  test('lines wait instead of being refused, leave a part to requests, and are charged what they used', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    bed.pool.play(async (job, emit) => {
      if (contentOf(job).startsWith('line-')) await released;
      await echo(job, emit);
    });
    const client = await limited();
    const ask = () =>
      client.chat.completions
        .create({ model: MODEL, messages: [{ role: 'user', content: 'now' }], ...fields })
        .withResponse();
    const before = bed.pool.jobs.length;
    const lines = chatLines(6).map((line) => ({ ...line, body: { ...line.body, ...fields } }));
    const id = await submit(client, lines);
    // Four could be with the pool, of which the tokens suffice for three.
    const most = Math.floor((TOKENS_PER_MINUTE * BATCH_TOKEN_SHARE) / ESTIMATE);
    expect(most).toBe(3);
    await vi.waitFor(() => expect(bed.pool.jobs.length).toBe(before + most), 5_000);
    await ask();
    expect(bed.pool.jobs.length).toBe(before + most + 1);
    release();
    expect((await completed(client, id)).request_counts).toEqual({ total: 6, completed: 6, failed: 0 });
    const { response } = await ask();
    const spent = 7 * (PROMPT_TOKENS + ANSWER_TOKENS);
    const remaining = Number(response.headers.get('x-ratelimit-remaining-tokens'));
    expect(remaining).toBe(TOKENS_PER_MINUTE - spent - (ESTIMATE - 1));
  });

  test('a line that may use more than there is runs all the same', async () => {
    const client = await limited();
    const id = await submit(client, [chatLine('big', 'big', { max_tokens: 2 * TOKENS_PER_MINUTE })]);
    expect((await completed(client, id)).request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
  });
});
