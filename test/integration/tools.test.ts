import OpenAI from 'openai';
import { beforeAll, describe, expect, test } from 'vitest';
import { fits } from '../support/constrained/validate.ts';
import { useServedModel } from '../support/served-model.ts';
import { DICTIONARY_MODEL } from '../support/test-host.ts';

const served = useServedModel();
let client: OpenAI;
beforeAll(() => {
  client = new OpenAI({ baseURL: `${served.address}/v1`, apiKey: 'unused', maxRetries: 0 });
});

/** The shipped model knows nothing of tools: that it calls one, and how, is the constraint's doing. Its context is short. */
const WORD = {
  type: 'object',
  properties: { word: { type: 'string', minLength: 1, maxLength: 12 }, kind: { enum: ['noun', 'verb'] } },
  required: ['word', 'kind'],
};
const LETTERS = {
  type: 'object',
  properties: { letters: { type: 'array', items: { type: 'string', maxLength: 1 }, maxItems: 3 } },
  required: ['letters'],
};
const PARAMETERS: Readonly<Record<string, object>> = { look_up: WORD, count_letters: LETTERS };
const tools: OpenAI.ChatCompletionFunctionTool[] = [
  { type: 'function', function: { name: 'look_up', description: 'Looks a word up.', parameters: WORD } },
  { type: 'function', function: { name: 'count_letters', parameters: LETTERS } },
];
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Define "harbor".' }];
const MOST_TOKENS = 120;

const asked = { model: DICTIONARY_MODEL, messages, tools, max_tokens: MOST_TOKENS };
const named = (name: string) => ({ type: 'function' as const, function: { name } });

/** The only call of a choice, which must fit its function's parameters. */
function callOf({ message, finish_reason }: OpenAI.ChatCompletion.Choice) {
  expect(finish_reason, JSON.stringify(message)).toBe('tool_calls');
  expect(message.content).toBeNull();
  const [call, ...others] = message.tool_calls ?? [];
  expect(others).toEqual([]);
  if (call?.type !== 'function') throw new Error('No function was called.');
  const { name, arguments: written } = call.function;
  expect(fits(PARAMETERS[name], JSON.parse(written)), written).toBe(true);
  return { id: call.id, name, written };
}

describe('a forced call, by the shipped model', () => {
  test.each(['required' as const, named('look_up'), named('count_letters')])(
    'fits, whole and streamed: %j',
    async (tool_choice) => {
      const body = { ...asked, tool_choice, temperature: 0 };
      const whole = callOf((await client.chat.completions.create(body)).choices[0]);
      const final = await client.chat.completions.stream(body).finalChatCompletion();
      const streamed = callOf(final.choices[0]);
      expect({ ...streamed, id: '' }).toEqual({ ...whole, id: '' });
      if (typeof tool_choice !== 'string') expect(whole.name).toBe(tool_choice.function.name);
    },
  );

  test('fits in every choice that is drawn', async () => {
    const body = { ...asked, tool_choice: 'required' as const, n: 4, temperature: 1, seed: 5 };
    const { choices } = await client.chat.completions.create(body);
    const calls = choices.map(callOf);
    expect(new Set(calls.map(({ written }) => written)).size).toBeGreaterThan(1);
  });

  test('is answered with its result, and the model goes on with text', async () => {
    const body = { ...asked, tool_choice: named('look_up'), temperature: 0 };
    const first = await client.chat.completions.create(body);
    const { id } = callOf(first.choices[0]);
    const conversation: OpenAI.ChatCompletionMessageParam[] = [
      ...messages,
      first.choices[0].message,
      { role: 'tool', tool_call_id: id, content: 'a sheltered place' },
    ];
    const second = await client.chat.completions.create({
      ...asked,
      messages: conversation,
      tool_choice: 'auto',
      max_tokens: 30,
    });
    expect(second.choices[0].message.content).toMatch(/\w/);
    expect(second.usage!.prompt_tokens).toBeGreaterThan(first.usage!.prompt_tokens);
  });
});

test('the Responses API forces a call, and takes its result', async () => {
  const body = {
    model: DICTIONARY_MODEL,
    tools: [{ type: 'function' as const, name: 'look_up', parameters: WORD, strict: true }],
    temperature: 0,
  };
  const input: OpenAI.Responses.ResponseInputItem[] = [{ role: 'user', content: 'Define "harbor".' }];
  const forced = { ...body, input, tool_choice: 'required' as const, max_output_tokens: MOST_TOKENS };
  const first = await client.responses.create(forced);
  const [call] = first.output;
  if (call?.type !== 'function_call') throw new Error(JSON.stringify(first.output));
  expect(fits(WORD, JSON.parse(call.arguments)), call.arguments).toBe(true);
  const streamed = await client.responses.stream(forced).finalResponse();
  expect(streamed.output).toMatchObject([
    { type: 'function_call', name: call.name, arguments: call.arguments },
  ]);
  const second = await client.responses.create({
    ...body,
    input: [
      ...input,
      call,
      { type: 'function_call_output', call_id: call.call_id, output: 'a sheltered place' },
    ],
    max_output_tokens: 30,
  });
  expect(second.output_text).toMatch(/\w/);
});
