import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDispatcher, type Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { WAITING_TOKENIZATIONS } from '../../functions/dispatcher/tokenization.ts';
import { tokenizationListKey } from '../../shared/protocol/keys.ts';
import type { TokenizationQuestion } from '../../shared/protocol/tokenization.ts';
import { type Json, readJson } from '../support/gateway/bed.ts';
import { useServedModel } from '../support/served-model.ts';
import { DICTIONARY_MODEL as MODEL } from '../support/test-host.ts';

const served = useServedModel();

let redis: Redis;
let dispatcher: Dispatcher;
beforeAll(() => {
  redis = new Redis(served.host.options.redisUrl);
  // Blocking reads, where a gateway on Node listens: both have to get their answers.
  dispatcher = createDispatcher(redis);
});
afterAll(async () => {
  await dispatcher.close();
  redis.disconnect();
});

const post = (path: string, body: object, init: RequestInit = {}): Promise<Response> =>
  fetch(served.address + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: MODEL, ...body }),
    ...init,
  });

async function answerTo(path: string, body: object): Promise<Json> {
  const response = await post(path, body);
  expect(response.status).toBe(200);
  return readJson(response);
}

const tokens = async (body: object): Promise<number[]> =>
  (await answerTo('/tokenize', body)).tokens as unknown as number[];

const TEXT = 'A harbor — naïve 語 👩‍🚒\n\tis where "ships"  lie.';
const MESSAGES = [
  { role: 'system', content: 'You are a dictionary.' },
  { role: 'user', content: 'Define "harbor".' },
];
const TOOL = {
  type: 'function',
  function: { name: 'look_up', parameters: { type: 'object', properties: { word: { type: 'string' } } } },
};

describe('tokenize', () => {
  it('tells the tokens of a text as a completion counts them', async () => {
    const answer = await answerTo('/tokenize', { prompt: TEXT });
    const { usage } = await answerTo('/v1/completions', { prompt: TEXT, max_tokens: 1 });
    expect(answer).toEqual({
      count: usage.prompt_tokens,
      max_model_len: 512,
      tokens: expect.any(Array),
      token_strs: null,
    });
    expect(answer.tokens).toHaveLength(Number(answer.count));
  });

  it.each([
    ['a conversation', { messages: MESSAGES }],
    ['a conversation with tools', { messages: MESSAGES, tools: [TOOL] }],
  ])('tells the tokens of %s as a chat completion counts them', async (_, body) => {
    const { count } = await answerTo('/tokenize', body);
    const { usage } = await answerTo('/v1/chat/completions', { ...body, max_tokens: 1 });
    expect(count).toBe(usage.prompt_tokens);
  });

  it('gives a completion the very prompt of a chat', async () => {
    const prompt = await tokens({ messages: MESSAGES });
    const wanted = { max_tokens: 8, temperature: 0 };
    const completion = await answerTo('/v1/completions', { prompt, ...wanted });
    const chat = await answerTo('/v1/chat/completions', { messages: MESSAGES, ...wanted });
    expect(completion.choices[0].text).toBe(chat.choices[0].message.content);
  });

  it('leaves out the beginning of an answer, and adds special tokens, where it is asked to', async () => {
    const whole = await tokens({ messages: MESSAGES });
    const without = await tokens({ messages: MESSAGES, add_generation_prompt: false });
    expect(without.length).toBeLessThan(whole.length);
    expect(whole.slice(0, without.length)).toEqual(without);
    const bare = await tokens({ prompt: TEXT, add_special_tokens: false });
    const surrounded = await tokens({ prompt: TEXT });
    expect(surrounded.join(' ')).toContain(bare.join(' '));
    expect(await tokens({ prompt: '' })).toEqual(await tokens({ prompt: '', add_special_tokens: true }));
  });

  it('spells the tokens as the vocabulary does', async () => {
    const { token_strs: texts } = await answerTo('/tokenize', {
      prompt: '<|im_start|>a harbor',
      return_token_strs: true,
    });
    expect(texts[0]).toBe('<|im_start|>');
    expect((texts as unknown as string[]).slice(1).join('')).toBe('aĠharbor');
  });
});

describe('detokenize', () => {
  it.each([
    ['a text', { prompt: TEXT, add_special_tokens: false }, TEXT],
    ['special tokens', { prompt: '<|im_start|>a<|im_end|>' }, '<|im_start|>a<|im_end|>'],
    ['nothing', { prompt: '' }, ''],
  ])('gives back %s', async (_, body, text) => {
    expect(await answerTo('/detokenize', { tokens: await tokens(body) })).toEqual({ prompt: text });
  });
});

describe('all addresses', () => {
  it.each(['', '/v1', `/models/${MODEL}`, `/models/${MODEL}/v1`])('%s answers', async (prefix) => {
    const model = prefix.startsWith('/models') ? undefined : MODEL;
    const { tokens: ids } = await answerTo(`${prefix}/tokenize`, { model, prompt: 'harbor' });
    expect(await answerTo(`${prefix}/detokenize`, { model, tokens: ids })).toEqual({ prompt: 'harbor' });
  });
});

describe('a wrong question', () => {
  it.each<[string, string, object, string, RegExp, number?]>([
    ['without prompt and messages', '/tokenize', {}, 'prompt', /is required/],
    ['with both', '/tokenize', { prompt: 'a', messages: MESSAGES }, 'messages', /give either/],
    ['a prompt that is a list', '/tokenize', { prompt: ['a'] }, 'prompt', /string/],
    ['a message without content', '/tokenize', { messages: [{ role: 'user' }] }, 'messages[0].content', /./],
    ['half a character', '/tokenize', { prompt: 'a\ud800' }, 'prompt', /surrogate/],
    ['a template', '/tokenize', { messages: MESSAGES, chat_template: 'x' }, 'chat_template', /Unsupported/],
    ['without tokens', '/detokenize', {}, 'tokens', /is required/],
    ['a token that is no id', '/detokenize', { tokens: [1, -1] }, 'tokens[1]', /./],
    [
      'a token beyond the vocabulary',
      '/detokenize',
      { tokens: [1, 999_999] },
      'tokens',
      /vocabulary size 4096/,
    ],
    ['too long a text', '/tokenize', { prompt: 'a'.repeat(600_000) }, 'prompt', /at most 524288/],
    ['of an unknown model', '/tokenize', { model: 'none', prompt: 'a' }, 'model', /does not exist/, 404],
  ])('%s', async (_, path, body, param, message, status = 400) => {
    const response = await post(path, body);
    expect(response.status).toBe(status);
    const { error } = await readJson(response);
    expect(error).toMatchObject({ type: 'invalid_request_error', param });
    expect(error.message).toMatch(message);
  });
});

describe('beside generations', () => {
  it('answers while all slots are taken and others wait', async () => {
    const controller = new AbortController();
    const [instance] = served.host.attention!.instances;
    const long = { prompt: 'a', n: 16, max_tokens: 500, ignore_eos: true };
    const generations = [1, 2, 3].map(() =>
      post('/v1/completions', long, { signal: controller.signal }).catch(() => 'aborted'),
    );
    await expect.poll(() => instance!.statistics.slotsInUse, { timeout: 10_000 }).toBe(instance!.slots);
    expect(await tokens({ prompt: TEXT })).not.toEqual([]);
    expect(instance!.statistics.slotsInUse).toBe(instance!.slots);
    controller.abort();
    expect(await Promise.all(generations)).toEqual(['aborted', 'aborted', 'aborted']);
  });
});

describe('the dispatcher, where it reads and does not listen', () => {
  const signal = new AbortController().signal;
  const question: TokenizationQuestion = { kind: 'detokenize', ids: [] };

  it('gets its answers, each its own, and leaves nothing behind', async () => {
    const prompts = Array.from({ length: 20 }, (_, index) => `harbor ${index}`);
    const replies = await Promise.all(
      prompts.map((text, index) => {
        const prompt = { kind: 'text', text } as const;
        const own = { addSpecialTokens: false, addGenerationPrompt: true, withTokenTexts: true };
        const asking = { requestId: `ask${index}`, model: MODEL, signal, waitMs: 10_000 };
        return dispatcher.tokenize({ kind: 'tokenize', prompt, ...own }, asking);
      }),
    );
    const spelled = replies.map((reply) => (reply.kind === 'tokenized' ? reply.tokenTexts?.join('') : ''));
    expect(spelled).toEqual(prompts.map((prompt) => prompt.replaceAll(' ', 'Ġ')));
    await expect.poll(() => redis.keys('janus:*ask[0-9]*')).toEqual([]);
  });

  it('lets so many wait for a model, and no more', async () => {
    const model = 'nobody/serves:this';
    const ids = Array.from({ length: WAITING_TOKENIZATIONS }, (_, index) => `waiting${index}`);
    await redis.rpush(tokenizationListKey(model), ...ids);
    const asking = { requestId: 'late', model, signal, waitMs: 100 };
    await expect(dispatcher.tokenize(question, asking)).rejects.toMatchObject({ fault: 'busy' });
    await redis.lpop(tokenizationListKey(model));
    await expect(dispatcher.tokenize(question, asking)).rejects.toMatchObject({ fault: 'queue' });
  });

  it('ends with its client', async () => {
    const controller = new AbortController();
    const asking = { requestId: 'gone', model: 'nobody', signal: controller.signal, waitMs: 10_000 };
    const asked = dispatcher.tokenize(question, asking);
    controller.abort(new Error('gone'));
    await expect(asked).rejects.toThrow('gone');
    await expect.poll(() => redis.exists('janus:{nobody}:tokenization:gone')).toBe(0);
  });
});
