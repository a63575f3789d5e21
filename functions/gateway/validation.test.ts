import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayBed, type GatewayBed, MODEL, readJson } from '../../test/support/gateway/bed.ts';

let bed: GatewayBed;
beforeAll(async () => {
  bed = await createGatewayBed();
});
afterAll(() => bed.close());

const chat = (fields: object) => ({ model: MODEL, messages: [{ role: 'user', content: 'Hi' }], ...fields });
const completion = (fields: object) => ({ model: MODEL, prompt: 'Hi', ...fields });
const withContent = (content: unknown) => chat({ messages: [{ role: 'user', content }] });

async function expectRefusal(path: string, body: unknown, param: string | null, status = 400) {
  const taken = bed.pool.jobs.length;
  const response = await bed.post(path, body);
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get('content-type')).toContain('application/json');
  const { error } = JSON.parse(text);
  expect(error).toEqual({
    message: expect.any(String),
    type: 'invalid_request_error',
    param,
    code: error.code,
  });
  expect(text.length).toBeLessThan(600);
  expect(bed.pool.jobs.length).toBe(taken);
  return error;
}

describe('a chat completion is refused, naming the field', () => {
  test.each<[string, object, string]>([
    ['messages absent', { model: MODEL }, 'messages'],
    ['messages null', chat({ messages: null }), 'messages'],
    ['messages empty', chat({ messages: [] }), 'messages'],
    ['messages of a wrong type', chat({ messages: 'Hi' }), 'messages'],
    ['a message that is no object', chat({ messages: ['Hi'] }), 'messages[0]'],
    ['an unknown role', chat({ messages: [{ role: 'wizard', content: 'x' }] }), 'messages[0].role'],
    ['content absent', chat({ messages: [{ role: 'user' }] }), 'messages[0].content'],
    ['content null', withContent(null), 'messages[0].content'],
    ['content a number', withContent(5), 'messages[0].content'],
    ['content without parts', withContent([]), 'messages[0].content'],
    [
      'an image part',
      withContent([{ type: 'image_url', image_url: { url: 'x' } }]),
      'messages[0].content[0].type',
    ],
    [
      'an audio part',
      withContent([{ type: 'text', text: 'a' }, { type: 'input_audio' }]),
      'messages[0].content[1].type',
    ],
    ['a lone surrogate in content', withContent('a\ud800b'), 'messages[0].content'],
    [
      'a lone surrogate in a part',
      withContent([{ type: 'text', text: '\udc00' }]),
      'messages[0].content[0].text',
    ],
    [
      'a lone surrogate in a name',
      chat({ messages: [{ role: 'user', content: 'a', name: '\ud800' }] }),
      'messages[0].name',
    ],
    [
      'tool calls',
      chat({ messages: [{ role: 'assistant', content: null, tool_calls: [{}] }] }),
      'messages[0].tool_calls[0].id',
    ],
    ['max_tokens 0', chat({ max_tokens: 0 }), 'max_tokens'],
    ['max_tokens negative', chat({ max_tokens: -1 }), 'max_tokens'],
    ['max_tokens a fraction', chat({ max_tokens: 1.5 }), 'max_tokens'],
    ['max_completion_tokens 0', chat({ max_completion_tokens: 0 }), 'max_completion_tokens'],
    ['two different limits', chat({ max_tokens: 1, max_completion_tokens: 2 }), 'max_tokens'],
    ['temperature above 2', chat({ temperature: 2.1 }), 'temperature'],
    ['temperature negative', chat({ temperature: -0.1 }), 'temperature'],
    ['temperature a string', chat({ temperature: '1' }), 'temperature'],
    ['top_p 0', chat({ top_p: 0 }), 'top_p'],
    ['top_p above 1', chat({ top_p: 1.01 }), 'top_p'],
    ['n 0', chat({ n: 0 }), 'n'],
    ['n above its limit', chat({ n: 17 }), 'n'],
    ['stop empty', chat({ stop: '' }), 'stop'],
    ['an empty stop among others', chat({ stop: ['a', ''] }), 'stop[1]'],
    ['five stops', chat({ stop: ['a', 'b', 'c', 'd', 'e'] }), 'stop'],
    ['stop a number', chat({ stop: 3 }), 'stop'],
    ['a lone surrogate in stop', chat({ stop: '\ud83d' }), 'stop'],
    ['a stop token outside the vocabulary', chat({ stop_token_ids: [4096] }), 'stop_token_ids'],
    ['a negative stop token', chat({ stop_token_ids: [1, -1] }), 'stop_token_ids[1]'],
    ['a fractional seed', chat({ seed: 1.5 }), 'seed'],
    ['seed a string', chat({ seed: '1' }), 'seed'],
    ['a bias above 100', chat({ logit_bias: { 5: 101 } }), 'logit_bias.5'],
    ['a bias that is no number', chat({ logit_bias: { 5: '1' } }), 'logit_bias.5'],
    ['a bias for no token id', chat({ logit_bias: { harbor: 1 } }), 'logit_bias.harbor'],
    ['a bias outside the vocabulary', chat({ logit_bias: { 4096: 1 } }), 'logit_bias'],
    ['biases as a list', chat({ logit_bias: [1] }), 'logit_bias'],
    ['presence_penalty out of range', chat({ presence_penalty: 2.5 }), 'presence_penalty'],
    ['frequency_penalty out of range', chat({ frequency_penalty: -2.5 }), 'frequency_penalty'],
    ['top_k below -1', chat({ top_k: -2 }), 'top_k'],
    ['min_p above 1', chat({ min_p: 1.1 }), 'min_p'],
    ['repetition_penalty 0', chat({ repetition_penalty: 0 }), 'repetition_penalty'],
    ['ignore_eos a number', chat({ ignore_eos: 1 }), 'ignore_eos'],
    ['stream a string', chat({ stream: 'yes' }), 'stream'],
    ['stream_options without stream', chat({ stream_options: { include_usage: true } }), 'stream_options'],
    ['logprobs a number', chat({ logprobs: 5 }), 'logprobs'],
    ['top_logprobs above 20', chat({ logprobs: true, top_logprobs: 21 }), 'top_logprobs'],
    ['top_logprobs without logprobs', chat({ top_logprobs: 2 }), 'top_logprobs'],
    ['tools', chat({ tools: [{ type: 'function' }] }), 'tools[0].function'],
    ['a response format that is no object', chat({ response_format: 'json' }), 'response_format'],
    ['an unknown response format', chat({ response_format: { type: 'xml' } }), 'response_format.type'],
    ['audio', chat({ audio: { voice: 'x' } }), 'audio'],
    ['audio among modalities', chat({ modalities: ['text', 'audio'] }), 'modalities'],
    ['model a number', chat({ model: 7 }), 'model'],
    ['model absent', chat({ model: undefined }), 'model'],
  ])('%s', async (_, body, param) => {
    const error = await expectRefusal('/v1/chat/completions', body, param);
    expect(error.message).toContain(`'${param}'`);
  });

  test('images are refused by saying that only text is supported', async () => {
    const body = withContent([{ type: 'image_url', image_url: { url: 'x' } }]);
    const error = await expectRefusal('/v1/chat/completions', body, 'messages[0].content[0].type');
    expect(error.message).toMatch(/must be "text".*images.*not supported/);
  });

  test('more logit biases than the limit', async () => {
    const logit_bias = Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 1]));
    await expectRefusal('/v1/chat/completions', chat({ logit_bias }), 'logit_bias');
  });
});

describe('a text completion is refused, naming the field', () => {
  test.each<[string, object, string]>([
    ['prompt absent', { model: MODEL }, 'prompt'],
    ['prompt empty', completion({ prompt: '' }), 'prompt'],
    ['prompt an empty list', completion({ prompt: [] }), 'prompt'],
    ['prompt an object', completion({ prompt: {} }), 'prompt'],
    ['an empty text among prompts', completion({ prompt: ['a', ''] }), 'prompt[1]'],
    ['an empty token list among prompts', completion({ prompt: [[1], []] }), 'prompt[1]'],
    ['texts and numbers mixed', completion({ prompt: ['a', 1] }), 'prompt[1]'],
    ['numbers and texts mixed', completion({ prompt: [1, 'a'] }), 'prompt[1]'],
    ['a fractional token id', completion({ prompt: [1, 1.5] }), 'prompt[1]'],
    ['a negative token id', completion({ prompt: [[1], [2, -3]] }), 'prompt[1][1]'],
    ['a token id outside the vocabulary', completion({ prompt: [1, 4096] }), 'prompt'],
    ['a lone surrogate', completion({ prompt: ['a', '\ud800'] }), 'prompt[1]'],
    ['too many prompts', completion({ prompt: Array.from({ length: 129 }, () => 'a') }), 'prompt'],
    ['too many choices in all', completion({ prompt: Array.from({ length: 9 }, () => 'a'), n: 16 }), 'n'],
    ['logprobs true', completion({ logprobs: true }), 'logprobs'],
    ['logprobs above the limit', completion({ logprobs: 21 }), 'logprobs'],
    ['suffix', completion({ suffix: 'end' }), 'suffix'],
    ['echo', completion({ echo: true }), 'echo'],
    ['best_of', completion({ best_of: 2 }), 'best_of'],
  ])('%s', async (_, body, param) => {
    const error = await expectRefusal('/v1/completions', body, param);
    expect(error.message).toContain(`'${param}'`);
  });
});

describe('a body is refused', () => {
  test.each<[string, string | Uint8Array<ArrayBuffer>]>([
    ['that is empty', ''],
    ['that is not JSON', '{"model":'],
    ['that is a JSON list', '[]'],
    ['that is JSON null', 'null'],
    ['that is not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    ['with NaN, which JSON does not have', '{"temperature": NaN}'],
  ])('%s', async (_, body) => {
    const response = await bed.post('/v1/chat/completions', {}, { body });
    expect(response.status).toBe(400);
    expect((await readJson(response)).error).toMatchObject({ type: 'invalid_request_error', param: null });
  });

  test('with a number beyond all ranges', async () => {
    const body = `{"model":"${MODEL}","messages":[{"role":"user","content":"x"}],"temperature":1e999}`;
    await expectRefusal('/v1/chat/completions', body, 'temperature');
  });

  test('of more than 1 MiB, announced', async () => {
    await expectRefusal('/v1/chat/completions', withContent('x'.repeat(1024 * 1024)), null, 413);
  });

  test('of more than 1 MiB, in chunks', async () => {
    const chunk = new TextEncoder().encode(' '.repeat(64 * 1024));
    const body = new ReadableStream({
      start(controller) {
        for (let count = 0; count < 17; count++) controller.enqueue(chunk);
        controller.close();
      },
    });
    const response = await bed.post('/v1/chat/completions', {}, { body, duplex: 'half' } as RequestInit);
    expect(response.status).toBe(413);
    expect((await readJson(response)).error.code).toBe('request_too_large');
  });

  test('of a hundred thousand wrong elements, without repeating them', async () => {
    const prompt = Array.from({ length: 100_000 }, () => true);
    await expectRefusal('/v1/completions', completion({ prompt }), 'prompt');
    await expectRefusal('/v1/chat/completions', withContent(prompt), 'messages[0].content');
  });

  test('with a long wrong key, without repeating it', async () => {
    const response = await bed.post(
      '/v1/chat/completions',
      chat({ logit_bias: { ['k'.repeat(50_000)]: 1 } }),
    );
    expect(response.status).toBe(400);
    expect((await response.text()).length).toBeLessThan(600);
  });
});

describe('addresses and models', () => {
  test.each<[string, string, number, string]>([
    ['GET', '/nowhere', 404, 'unknown_url'],
    ['GET', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['DELETE', '/models/x/v1/models', 405, 'method_not_allowed'],
    ['GET', '/v1/models/unknown', 404, 'model_not_found'],
  ])('%s %s is answered with %d', async (method, path, status, code) => {
    const response = await fetch(bed.address + path, { method });
    expect(response.status).toBe(status);
    expect((await readJson(response)).error).toMatchObject({ type: 'invalid_request_error', code });
    if (status === 405) expect(response.headers.get('allow')).toBeTruthy();
  });

  test('an unknown model is not found, and its name is cut short', async () => {
    const error = await expectRefusal(
      '/v1/chat/completions',
      chat({ model: 'm'.repeat(9_999) }),
      'model',
      404,
    );
    expect(error.code).toBe('model_not_found');
  });

  test('a body may not name another model than the address', async () => {
    await expectRefusal(`/models/${MODEL}/v1/chat/completions`, chat({ model: 'other' }), 'model');
  });

  test('headers beyond their limit are refused in the same form', async () => {
    const response = await fetch(`${bed.address}/health`, { headers: { 'X-Long': 'x'.repeat(20_000) } });
    expect(response.status).toBe(431);
    expect((await readJson(response)).error.message).toContain('16384 bytes');
  });
});

describe('what changes nothing is accepted', () => {
  test('harmless and unknown fields, empty tools, and null for every optional field', async () => {
    const fields = [
      'temperature',
      'top_p',
      'n',
      'stop',
      'seed',
      'logit_bias',
      'max_tokens',
      'stream',
      'tools',
    ];
    const nulls = Object.fromEntries(
      [...fields, 'logprobs', 'top_logprobs', 'audio'].map((name) => [name, null]),
    );
    const harmless = {
      user: 'u',
      metadata: { a: 'b' },
      store: true,
      service_tier: 'auto',
      parallel_tool_calls: true,
      response_format: { type: 'text' },
      modalities: ['text'],
      tool_choice: 'none',
      something_new: { deep: [1] },
    };
    for (const body of [chat(nulls), chat({ ...harmless, tools: [] })]) {
      const response = await bed.post('/v1/chat/completions', body);
      expect(response.status, await response.text()).toBe(200);
    }
  });
});

describe('whatever JSON a client sends', () => {
  const names = [
    ...[
      'model',
      'messages',
      'prompt',
      'stream',
      'stream_options',
      'n',
      'temperature',
      'top_p',
      'top_k',
      'min_p',
    ],
    ...[
      'presence_penalty',
      'frequency_penalty',
      'repetition_penalty',
      'seed',
      'stop',
      'stop_token_ids',
      'ignore_eos',
    ],
    ...[
      'logit_bias',
      'max_tokens',
      'max_completion_tokens',
      'logprobs',
      'top_logprobs',
      'tools',
      'response_format',
    ],
  ];
  const fields = fc.dictionary(fc.constantFrom(...names), fc.jsonValue(), { maxKeys: 3 });

  test('the answer is an answer or OpenAI’s error object, and never a defect', async () => {
    const property = fc.asyncProperty(fc.boolean(), fields, async (isChat, given) => {
      const [path, body] = isChat
        ? ['/v1/chat/completions', { ...chat({}), ...given }]
        : ['/v1/completions', { ...completion({}), ...given }];
      const response = await bed.post(path, body);
      const text = await response.text();
      expect([200, 400, 404]).toContain(response.status);
      if (response.status === 200) return;
      expect(JSON.parse(text).error).toMatchObject({
        message: expect.stringMatching(/./),
        type: 'invalid_request_error',
        param: expect.any(String),
      });
    });
    await fc.assert(property, { numRuns: 300 });
  });
});

describe('jobs carry every setting', () => {
  test('defaults', async () => {
    await bed.post('/v1/chat/completions', chat({}));
    expect(bed.pool.jobs.at(-1)).toMatchObject({
      model: MODEL,
      choice: 0,
      prompt: { kind: 'chat', messages: [{ role: 'user', content: 'Hi' }] },
      maxTokens: null,
      sampling: {
        temperature: 1,
        topP: 1,
        topK: 0,
        minP: 0,
        presencePenalty: 0,
        frequencyPenalty: 0,
        repetitionPenalty: 1,
        logitBias: [],
        stop: [],
        stopTokenIds: [],
        ignoreEndOfSequence: false,
        topLogprobs: null,
      },
    });
  });

  test('given values, in our terms', async () => {
    const messages = [
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'user', content: '', name: 'Ann' },
    ];
    const sampling = { temperature: 1e-9, top_p: 0.5, top_k: -1, min_p: 0.1, repetition_penalty: 1.2 };
    const penalties = { presence_penalty: 1, frequency_penalty: -1, logit_bias: { 4095: -100, 7: 1 } };
    const ends = { stop: 'END', stop_token_ids: [9], ignore_eos: true, max_completion_tokens: 7, seed: -1 };
    const body = chat({ messages, ...sampling, ...penalties, ...ends, logprobs: true });
    expect((await bed.post('/v1/chat/completions', body)).status).toBe(200);
    expect(bed.pool.jobs.at(-1)).toMatchObject({
      prompt: {
        kind: 'chat',
        messages: [
          { role: 'system', content: 'a\nb' },
          { role: 'user', content: '', name: 'Ann' },
        ],
      },
      maxTokens: 7,
      sampling: {
        temperature: 0,
        topP: 0.5,
        topK: 0,
        minP: 0.1,
        repetitionPenalty: 1.2,
        presencePenalty: 1,
        frequencyPenalty: -1,
        logitBias: [
          [7, 1],
          [4095, -100],
        ],
        stop: ['END'],
        stopTokenIds: [9],
        ignoreEndOfSequence: true,
        seed: 2 ** 32 - 1,
        topLogprobs: 0,
      },
    });
  });

  test.each<[string, unknown, unknown]>([
    ['a text', 'a', [{ kind: 'text', text: 'a' }]],
    [
      'texts',
      ['a', 'b'],
      [
        { kind: 'text', text: 'a' },
        { kind: 'text', text: 'b' },
      ],
    ],
    ['token ids', [1, 2], [{ kind: 'tokens', ids: [1, 2] }]],
    [
      'lists of token ids',
      [[1], [2, 3]],
      [
        { kind: 'tokens', ids: [1] },
        { kind: 'tokens', ids: [2, 3] },
      ],
    ],
  ])('a prompt that is %s', async (_, prompt, prompts) => {
    const before = bed.pool.jobs.length;
    expect((await bed.post('/v1/completions', completion({ prompt }))).status).toBe(200);
    const jobs = bed.pool.jobs.slice(before).sort((a, b) => a.choice - b.choice);
    expect(jobs.map((job) => job.prompt)).toEqual(prompts);
    expect(jobs.map((job) => job.maxTokens)).toEqual(jobs.map(() => 16));
  });

  test('choices of one prompt get seeds in a row, from the given one or a random one', async () => {
    const seedsOf = async (fields: object) => {
      const before = bed.pool.jobs.length;
      expect((await bed.post('/v1/completions', completion(fields))).status).toBe(200);
      const jobs = bed.pool.jobs.slice(before).sort((a, b) => a.choice - b.choice);
      return jobs.map((job) => job.sampling.seed);
    };
    expect(await seedsOf({ prompt: ['a', 'b'], n: 2, seed: 2 ** 32 - 1 })).toEqual([
      4294967295, 0, 4294967295, 0,
    ]);
    const drawn = await seedsOf({ n: 4 });
    expect(new Set(drawn).size).toBe(4);
    expect(drawn.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
  });
});
