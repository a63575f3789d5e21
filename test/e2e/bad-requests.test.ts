import { describe, expect, it } from 'vitest';
import { goldenAnswer } from '../support/golden-answers.ts';
import { useServedModel } from '../support/served-model.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

/** What only the pool can find wrong, because it takes the model's tokenizer and context to see it. */
const served = useServedModel();

const post = (path: string, body: object): Promise<Response> =>
  fetch(`${served.address}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: DICTIONARY_MODEL, ...body }),
  });

const LONG = 'harbor '.repeat(600);
const USER = (content: string) => [{ role: 'user', content }];

describe.each([false, true])('a request that the pool refuses, stream: %s', (stream) => {
  it.each<[string, string, object, string, RegExp]>([
    [
      'a chat longer than the context',
      'chat/completions',
      { messages: USER(LONG) },
      'messages',
      /512 tokens/,
    ],
    ['a prompt longer than the context', 'completions', { prompt: LONG }, 'prompt', /512 tokens/],
    [
      'an answer that does not fit behind its prompt',
      'chat/completions',
      { messages: USER('harbor'), max_tokens: 512 },
      'max_tokens',
      /and 512 in the answer/,
    ],
  ])('%s', async (_, path, body, param, message) => {
    const response = await post(path, { ...body, stream });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: Record<string, string> };
    expect(error).toMatchObject({ type: 'invalid_request_error', code: 'context_length_exceeded', param });
    expect(error.message).toMatch(message);
  });
});

it('leaves the pool serving, with no slot taken', async () => {
  await post('completions', { prompt: LONG });
  const question = 'Define "fifty".';
  const response = await post('chat/completions', { messages: USER(question) });
  const answer = (await response.json()) as { choices: { message: { content: string } }[] };
  expect(answer.choices[0]!.message.content).toBe(goldenAnswer(question));
  expect(served.host.attention!.instances[0]!.statistics.slotsInUse).toBe(0);
});
