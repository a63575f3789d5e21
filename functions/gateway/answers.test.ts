import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestQueueName, scalingTargetKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent, TokenLogprob } from '../../shared/protocol/token-event.ts';
import {
  createGatewayBed,
  type GatewayBed,
  MODEL,
  readJson,
  readSse,
} from '../../test/support/gateway/bed.ts';
import { announce, answer, startScriptedPool } from '../../test/support/gateway/scripted-pool.ts';

let bed: GatewayBed;
const reported: object[] = [];
beforeAll(async () => {
  bed = await createGatewayBed({ log: { warn() {}, error: (entry: object) => reported.push(entry) } });
});
afterAll(() => bed.close());

const chat = (fields: object = {}) => ({
  model: MODEL,
  messages: [{ role: 'user', content: 'Hi' }],
  ...fields,
});
const postChat = (fields: object = {}) => bed.post('/v1/chat/completions', chat(fields));
const postCompletion = (fields: object = {}) =>
  bed.post('/v1/completions', { model: MODEL, prompt: 'Hi', ...fields });
const playAnswer = (...texts: string[]) => bed.pool.play((job, emit) => emit(...answer(job.choice, texts)));

const logprob = (token: string, value: number, bytes = [...Buffer.from(token)]): TokenLogprob => ({
  id: 1,
  token,
  bytes,
  logprob: value,
});

/** "né": its second character comes in two tokens, the first of which has no text yet. */
const playLogprobs = () =>
  bed.pool.play(async ({ choice }, emit) => {
    const tokens = [logprob('n', -0.5), logprob('\ufffd', -1, [0xc3]), logprob('\ufffd', -2, [0xa9])];
    const texts = ['n', '', 'é'];
    await emit({ kind: 'started', choice, promptTokens: 2 });
    for (const [position, token] of tokens.entries()) {
      const top = [token, logprob('x', -3)];
      await emit({
        kind: 'token',
        choice,
        position,
        id: 1,
        text: texts[position],
        logprob: { ...token, top },
      });
    }
    await emit({
      kind: 'finished',
      choice,
      reason: 'length',
      text: '',
      promptTokens: 2,
      cachedTokens: 0,
      completionTokens: 3,
    });
  });

describe('a chat completion', () => {
  test('has OpenAI’s shape', async () => {
    playAnswer('A ', 'quiet ', 'place.');
    const response = await postChat();
    expect(response.status).toBe(200);
    const body = await readJson(response);
    expect(body).toEqual({
      id: `chatcmpl-${response.headers.get('x-request-id')}`,
      object: 'chat.completion',
      created: expect.any(Number),
      model: MODEL,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'A quiet place.', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 3,
        completion_tokens: 3,
        total_tokens: 6,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(Math.abs(Number(body.created) - Date.now() / 1000)).toBeLessThan(60);
  });

  test('streams a role, one object per text, a finish, and DONE', async () => {
    playAnswer('A ', '', 'place.');
    const response = await postChat({ stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const { objects, done } = await readSse(response);
    const choice = (delta: object, finish_reason: string | null = null) => ({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: 'chat.completion.chunk',
      created: expect.any(Number),
      model: MODEL,
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    });
    expect(objects).toEqual([
      choice({ role: 'assistant', content: '', refusal: null }),
      choice({ content: 'A ' }),
      choice({ content: 'place.' }),
      choice({}, 'stop'),
    ]);
    expect(done).toBe(true);
  });

  test('streams text that was held back before the finish', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      await emit({ kind: 'started', choice, promptTokens: 1 });
      await emit({ kind: 'token', choice, position: 0, id: 5, text: '' });
      await emit({
        kind: 'finished',
        choice,
        reason: 'length',
        text: 'EN',
        promptTokens: 1,
        cachedTokens: 0,
        completionTokens: 1,
      });
    });
    const { objects } = await readSse(await postChat({ stream: true }));
    expect(objects.slice(1).map(({ choices }) => choices[0])).toEqual([
      { index: 0, delta: { content: 'EN' }, logprobs: null, finish_reason: null },
      { index: 0, delta: {}, logprobs: null, finish_reason: 'length' },
    ]);
    expect((await readJson(await postChat())).choices[0]).toMatchObject({
      message: { content: 'EN' },
      finish_reason: 'length',
    });
  });

  test('streams its usage last when asked, and null until then', async () => {
    playAnswer('a', 'b');
    const { objects, done } = await readSse(
      await postChat({ stream: true, stream_options: { include_usage: true } }),
    );
    expect(objects.slice(0, -1).map(({ usage }) => usage)).toEqual(objects.slice(0, -1).map(() => null));
    expect(objects.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    });
    expect(done).toBe(true);
  });

  test('with n = 2 tells the choices apart and counts the prompt once', async () => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, choice === 0 ? ['zero'] : ['o', 'ne'])));
    const whole = await readJson(await postChat({ n: 2 }));
    expect(whole).toMatchObject({
      choices: [
        { index: 0, message: { content: 'zero' } },
        { index: 1, message: { content: 'one' } },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    });
    const { objects } = await readSse(await postChat({ n: 2, stream: true }));
    const texts = ['', ''];
    const finishes = [0, 0];
    for (const { choices } of objects) {
      const { index, delta, finish_reason } = choices[0];
      texts[Number(index)] += delta.content ?? '';
      if (finish_reason !== null) finishes[Number(index)] += 1;
    }
    expect(texts).toEqual(['zero', 'one']);
    expect(finishes).toEqual([1, 1]);
  });

  test('reports log probabilities, whole and streamed', async () => {
    playLogprobs();
    const entry = (token: string, value: number, bytes: number[]) => ({
      token,
      logprob: value,
      bytes,
      top_logprobs: [
        { token, logprob: value, bytes },
        { token: 'x', logprob: -3, bytes: [120] },
      ],
    });
    const entries = [entry('n', -0.5, [110]), entry('\ufffd', -1, [0xc3]), entry('\ufffd', -2, [0xa9])];
    const asked = { logprobs: true, top_logprobs: 2 };
    const whole = await readJson(await postChat(asked));
    expect(whole.choices[0]).toMatchObject({
      message: { content: 'né' },
      logprobs: { content: entries, refusal: null },
    });
    const { objects } = await readSse(await postChat({ ...asked, stream: true }));
    expect(objects.slice(1, 4).map(({ choices }) => [choices[0].delta, choices[0].logprobs])).toEqual([
      [{ content: 'n' }, { content: [entries[0]], refusal: null }],
      [{ content: '' }, { content: [entries[1]], refusal: null }],
      [{ content: 'é' }, { content: [entries[2]], refusal: null }],
    ]);
    expect(bed.pool.jobs.at(-1)?.sampling.topLogprobs).toBe(2);
  });
});

describe('a text completion', () => {
  test('has OpenAI’s shape, whole and streamed', async () => {
    playAnswer('some ', 'text');
    const whole = await readJson(await postCompletion());
    expect(whole).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: 'text_completion',
      created: expect.any(Number),
      model: MODEL,
      choices: [{ index: 0, text: 'some text', logprobs: null, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: 3,
        completion_tokens: 2,
        total_tokens: 5,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    const { objects, done } = await readSse(
      await postCompletion({ stream: true, stream_options: { include_usage: true } }),
    );
    expect(objects.map(({ object }) => object)).toEqual(objects.map(() => 'text_completion'));
    expect(objects.map(({ choices }) => choices)).toEqual([
      [{ index: 0, text: 'some ', logprobs: null, finish_reason: null }],
      [{ index: 0, text: 'text', logprobs: null, finish_reason: null }],
      [{ index: 0, text: '', logprobs: null, finish_reason: 'stop' }],
      [],
    ]);
    expect(objects.at(-1)?.usage).toEqual(whole.usage);
    expect(done).toBe(true);
  });

  test('of several prompts with n = 2 numbers choices prompt by prompt and counts each prompt once', async () => {
    bed.pool.play(({ choice, prompt }, emit) => {
      const text = prompt.kind === 'text' ? prompt.text : '';
      return emit(...answer(choice, [`${text}${choice}`], text.length));
    });
    const body = await readJson(await postCompletion({ prompt: ['a', 'bbb'], n: 2 }));
    expect(body).toMatchObject({
      choices: [
        { index: 0, text: 'a0' },
        { index: 1, text: 'a1' },
        { index: 2, text: 'bbb2' },
        { index: 3, text: 'bbb3' },
      ],
      usage: { prompt_tokens: 4, completion_tokens: 4, total_tokens: 8 },
    });
  });

  test('reports log probabilities, whole and streamed', async () => {
    playLogprobs();
    const all = {
      tokens: ['n', 'bytes:\\xc3', 'bytes:\\xa9'],
      token_logprobs: [-0.5, -1, -2],
      top_logprobs: [
        { n: -0.5, x: -3 },
        { 'bytes:\\xc3': -1, x: -3 },
        { 'bytes:\\xa9': -2, x: -3 },
      ],
      text_offset: [0, 1, 2],
    };
    const whole = await readJson(await postCompletion({ logprobs: 2 }));
    expect(whole.choices[0].logprobs).toEqual(all);
    const { objects } = await readSse(await postCompletion({ logprobs: 2, stream: true }));
    const streamed = objects.map(({ choices }) => choices[0].logprobs).filter((entry) => entry !== null);
    expect(streamed).toEqual(
      [0, 1, 2].map((at) => ({
        tokens: [all.tokens[at]],
        token_logprobs: [all.token_logprobs[at]],
        top_logprobs: [all.top_logprobs[at]],
        text_offset: [all.text_offset[at]],
      })),
    );
  });
});

describe('a journal that was written by two hosts', () => {
  test('gives each token once', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      const token = (position: number, text: string): TokenEvent => ({
        kind: 'token',
        choice,
        position,
        id: position,
        text,
      });
      const started: TokenEvent = { kind: 'started', choice, promptTokens: 1 };
      await emit(started, token(0, 'a'), token(1, 'b'));
      await emit(started, token(1, 'b'), token(2, 'c'));
      await emit({
        kind: 'finished',
        choice,
        reason: 'stop',
        text: '',
        promptTokens: 1,
        cachedTokens: 0,
        completionTokens: 3,
      });
    });
    expect((await readJson(await postChat())).choices[0].message.content).toBe('abc');
    const { objects } = await readSse(await postChat({ stream: true }));
    expect(objects.map(({ choices }) => choices[0].delta.content ?? null)).toEqual(['', 'a', 'b', 'c', null]);
  });

  test('with a token missing is an error and not an answer', async () => {
    bed.pool.play(({ choice }, emit) =>
      emit(
        { kind: 'started', choice, promptTokens: 1 },
        { kind: 'token', choice, position: 1, id: 1, text: 'b' },
        {
          kind: 'finished',
          choice,
          reason: 'stop',
          text: '',
          promptTokens: 1,
          cachedTokens: 0,
          completionTokens: 2,
        },
      ),
    );
    const response = await postChat();
    expect(response.status).toBe(500);
    expect((await readJson(response)).error.code).toBe('internal_error');
    expect(reported).toEqual([
      {
        requestId: response.headers.get('x-request-id'),
        error: expect.objectContaining({ message: expect.stringContaining('lacks token 0') }),
      },
    ]);
  });
});

describe('models', () => {
  const get = (path: string) => fetch(bed.address + path);

  test('that are ready are listed, and described under their own ids', async () => {
    await announce(bed.redis.client, 'org/other', 'ready');
    await announce(bed.redis.client, 'slow', 'loading');
    const list = await readJson(await get('/v1/models'));
    const object = { object: 'model', created: 1_700_000_000, owned_by: 'janus', max_model_len: 512 };
    const expected = ['org/other', MODEL].map((id) => ({ id, ...object }));
    expect(list).toEqual({ object: 'list', data: expected });
    for (const path of [
      '/v1/models/org/other',
      '/v1/models/org%2Fother',
      '/models/org%2Fother/v1/models/org%2Fother',
    ]) {
      expect(await readJson(await get(path)), path).toEqual(expected[0]);
    }
    expect((await readJson(await get('/models/org%2Fother/v1/models'))).data).toEqual([expected[0]]);
    expect((await get(`/models/org%2Fother/v1/models/${MODEL}`)).status).toBe(404);
  });

  test('that are loading are answered with 503 and a time to try again', async () => {
    await announce(bed.redis.client, 'slow', 'loading');
    const response = await bed.post('/v1/chat/completions', chat({ model: 'slow' }));
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    const { error } = await readJson(response);
    expect(error).toMatchObject({ type: 'server_error', code: 'model_not_ready', param: null });
    expect(error.message).toContain('an attention instance that is ready (1 known)');
  });

  test('that a scaler looks after keep a request until they are woken', async () => {
    const { client, url } = bed.redis;
    await announce(client, 'asleep', 'gone');
    await client.set(scalingTargetKey('asleep'), '{}');
    const waiting = bed.post('/v1/chat/completions', chat({ model: 'asleep' }));
    await expect.poll(() => client.exists(`janus:${requestQueueName('asleep')}:id`)).toBe(1);
    const pool = await startScriptedPool(url, 'asleep');
    const response = await waiting;
    expect(response.status).toBe(200);
    expect((await readJson(response)).choices[0].message.content).toBe('Hello world');
    await pool.close();
    await client.del(scalingTargetKey('asleep'));
  });

  test('need not be named where the address names them', async () => {
    playAnswer('ok');
    const response = await bed.post(`/models/${MODEL}/v1/chat/completions`, chat({ model: undefined }));
    expect((await readJson(response)).model).toBe(MODEL);
    const text = await bed.post(`/models/${MODEL}/v1/completions`, { prompt: 'x' });
    expect((await readJson(text)).choices[0].text).toBe('ok');
  });
});

describe('/health and /ready', () => {
  test('are 200 while Redis and a model are there', async () => {
    const health = await fetch(`${bed.address}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toEqual({ status: 'ok', redisLatencyMs: expect.any(Number) });
    const ready = await fetch(`${bed.address}/ready`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({ status: 'ready' });
  });
});
