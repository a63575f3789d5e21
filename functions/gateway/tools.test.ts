import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { type BatchBed, chatLine, createBatchBed } from '../../test/support/gateway/batch-bed.ts';
import { MODEL, readJson } from '../../test/support/gateway/bed.ts';
import { answer } from '../../test/support/gateway/scripted-pool.ts';
import { ARGUMENTS, CALL, COUNT_CALL, cut, LOOK_UP } from '../../test/support/gateway/tool-calls.ts';

let bed: BatchBed;
let client: OpenAI;
beforeAll(async () => {
  bed = await createBatchBed();
  client = new OpenAI({ baseURL: `${bed.address}/v1`, apiKey: 'unused', maxRetries: 0 });
});
afterAll(() => bed.close());

const { parameters } = LOOK_UP;
const TOOL = { type: 'function' as const, function: LOOK_UP };
const COUNT = { type: 'function' as const, function: { name: 'count' } };
const NO_PARAMETERS = { type: 'object', properties: {} };
const tools = [TOOL, COUNT];
const messages = [{ role: 'user' as const, content: 'What is a harbor?' }];
const chat = (fields: object = {}) => ({ model: MODEL, messages, tools, ...fields });

const play = (text: string) => bed.pool.play(({ choice }, emit) => emit(...answer(choice, cut(text))));
const job = () => bed.pool.jobs.at(-1)!;

describe('a chat completion', () => {
  test('tells calls beside content', async () => {
    play(`Let me see.\n${CALL}\n${COUNT_CALL}`);
    const { choices, _request_id: requestId } = await client.chat.completions.create(chat());
    expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: 'Let me see.' } });
    expect(choices[0].message.tool_calls).toEqual([
      { id: `call_${requestId}_0_0`, type: 'function', function: { name: 'look_up', arguments: ARGUMENTS } },
      { id: `call_${requestId}_0_1`, type: 'function', function: { name: 'count', arguments: '{}' } },
    ]);
  });

  test('has no content where there are calls alone, and no calls where there is content alone', async () => {
    play(CALL);
    const [calling] = (await client.chat.completions.create(chat())).choices;
    expect(calling.message.content).toBeNull();
    play('A place.');
    const [speaking] = (await client.chat.completions.create(chat())).choices;
    expect(speaking).toMatchObject({ finish_reason: 'stop', message: { content: 'A place.' } });
    expect(speaking.message).not.toHaveProperty('tool_calls');
  });

  test('keeps a call that is none as content', async () => {
    const text = CALL.replace('look_up', 'unknown');
    play(text);
    const [choice] = (await client.chat.completions.create(chat())).choices;
    expect(choice).toMatchObject({ finish_reason: 'stop', message: { content: text } });
  });

  test('that was cut off says so', async () => {
    bed.pool.play(({ choice }, emit) => {
      const events = answer(choice, [CALL, '\n<tool_call>']);
      return emit(
        ...events.map(
          (event): TokenEvent => (event.kind === 'finished' ? { ...event, reason: 'length' } : event),
        ),
      );
    });
    const [choice] = (await client.chat.completions.create(chat())).choices;
    expect(choice).toMatchObject({ finish_reason: 'length', message: { content: '<tool_call>' } });
    expect(choice.message.tool_calls).toHaveLength(1);
  });

  test('is not looked through where nothing may be called', async () => {
    play(CALL);
    for (const fields of [{ tools: undefined }, { tool_choice: 'none' }]) {
      const { choices } = await readJson(await bed.post('/v1/chat/completions', chat(fields)));
      expect(choices[0].message).toEqual({ role: 'assistant', content: CALL, refusal: null });
      expect(job().prompt).not.toHaveProperty('tools');
    }
  });

  test('has calls of its own in each choice', async () => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, cut(choice === 1 ? 'No.' : CALL))));
    const whole = await client.chat.completions.create(chat({ n: 3 }));
    const ids = whole.choices.map(({ message }) => message.tool_calls?.[0].id);
    expect(ids).toEqual([`call_${whole._request_id}_0_0`, undefined, `call_${whole._request_id}_2_0`]);
    const streamed = await client.chat.completions.stream(chat({ n: 3 })).finalChatCompletion();
    expect(streamed.choices.map(({ finish_reason }) => finish_reason)).toEqual([
      'tool_calls',
      'stop',
      'tool_calls',
    ]);
  });
});

describe('a streamed chat completion', () => {
  type Delta = OpenAI.ChatCompletionChunk.Choice.Delta;
  async function deltas(text: string): Promise<{ all: Delta[]; reason: string | null }> {
    play(text);
    const all: Delta[] = [];
    let reason: string | null = null;
    for await (const { choices } of await client.chat.completions.create({ ...chat(), stream: true })) {
      all.push(choices[0].delta);
      reason = choices[0].finish_reason ?? reason;
    }
    return { all, reason };
  }

  test('tells who is called, then with what', async () => {
    const { all, reason } = await deltas(`See:\n${CALL}`);
    const calls = all.flatMap(({ tool_calls }) => tool_calls ?? []);
    expect(calls).toEqual([
      {
        index: 0,
        id: expect.stringMatching(/^call_/),
        type: 'function',
        function: { name: 'look_up', arguments: '' },
      },
      { index: 0, function: { arguments: ARGUMENTS } },
    ]);
    expect(all.map(({ content }) => content ?? '').join('')).toBe('See:');
    expect(all[0]).toMatchObject({ role: 'assistant', content: null });
    expect(reason).toBe('tool_calls');
  });

  test('is put together by the library to what is told whole', async () => {
    play(`See: <b>\n${CALL}${COUNT_CALL}`);
    const whole = await client.chat.completions.create(chat());
    const streamed = await client.chat.completions.stream(chat()).finalChatCompletion();
    const [one, other] = [whole, streamed].map(({ choices }) => ({
      content: choices[0].message.content,
      calls: choices[0].message.tool_calls?.map(
        (call) => call.type === 'function' && [call.function.name, call.function.arguments],
      ),
    }));
    expect(one).toEqual(other);
    expect(one).toEqual({
      content: 'See: <b>',
      calls: [
        ['look_up', ARGUMENTS],
        ['count', '{}'],
      ],
    });
  });

  test('tells every token’s log probability once', async () => {
    const pieces = cut(`See:\n${CALL}`);
    bed.pool.play(({ choice }, emit) =>
      emit(
        ...answer(choice, pieces).map((event): TokenEvent => {
          if (event.kind !== 'token') return event;
          const logprob = { id: event.id, token: event.text, bytes: [], logprob: -1, top: [] };
          return { ...event, logprob };
        }),
      ),
    );
    const tokens: string[] = [];
    const asked = { ...chat(), logprobs: true };
    for await (const { choices } of await client.chat.completions.create({ ...asked, stream: true })) {
      tokens.push(...(choices[0].logprobs?.content ?? []).map(({ token }) => token));
    }
    expect(tokens).toEqual(pieces);
    const whole = await client.chat.completions.create(asked);
    expect(whole.choices[0].logprobs?.content?.map(({ token }) => token)).toEqual(pieces);
  });
});

describe('a job tells the pool', () => {
  const jobOf = async (fields: object, path = 'chat/completions', body: object = chat()) => {
    play('ok');
    const response = await bed.post(`/v1/${path}`, { ...body, ...fields });
    expect(response.status, await response.text()).toBe(200);
    return job();
  };
  const specs = [
    { name: 'look_up', parameters },
    { name: 'count', parameters: NO_PARAMETERS },
  ];

  test('which tools there are', async () => {
    const { prompt, constraint, sampling } = await jobOf({});
    const count = { type: 'function', function: { name: 'count', parameters: NO_PARAMETERS } };
    expect(prompt).toEqual({ kind: 'chat', messages, tools: [TOOL, count] });
    expect(constraint).toBeUndefined();
    expect(sampling.stop).toEqual([]);
  });

  test('what must be called', async () => {
    const { constraint } = await jobOf({ tool_choice: 'required' });
    expect(constraint).toEqual({ kind: 'tool_call', functions: specs });
    const named = await jobOf({ tool_choice: { type: 'function', function: { name: 'count' } } });
    expect(named.constraint).toEqual({ kind: 'tool_call', functions: [specs[1]] });
    expect(named.prompt).toMatchObject({ tools: [{}, {}] });
  });

  test('that a free answer ends behind its only call', async () => {
    const { sampling } = await jobOf({ parallel_tool_calls: false, stop: 'x' });
    expect(sampling.stop).toEqual(['x', '</tool_call>']);
  });

  test('what an answer may be besides a call', async () => {
    const format = { response_format: { type: 'json_object' } };
    const otherwise = { kind: 'json_object' };
    const functions = specs;
    expect((await jobOf(format)).constraint).toEqual({ kind: 'tool_call', functions, otherwise });
    const forced = await jobOf({ ...format, tool_choice: 'required' });
    expect(forced.constraint).toEqual({ kind: 'tool_call', functions });
    expect((await jobOf({ ...format, tool_choice: 'none' })).constraint).toEqual(otherwise);
  });

  test('what was called before, and with what result', async () => {
    const calling = {
      role: 'assistant',
      tool_calls: [
        { id: 'a', type: 'function', function: { name: 'look_up', arguments: ARGUMENTS } },
        { id: 'b', type: 'function', function: { name: 'count', arguments: '' } },
      ],
    };
    const results = [
      { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: '2' }] },
      { role: 'tool', tool_call_id: 'a', content: 'A place.' },
    ];
    const call = (id: string, name: string, values: object) => ({
      id,
      type: 'function',
      function: { name, arguments: values },
    });
    const tool_calls = [call('a', 'look_up', { word: 'harbor' }), call('b', 'count', {})];
    const { prompt } = await jobOf({ messages: [...messages, { ...calling, content: null }, ...results] });
    expect(prompt).toMatchObject({
      messages: [
        ...messages,
        { role: 'assistant', content: '', tool_calls },
        { role: 'tool', content: '2', tool_call_id: 'b', name: 'count' },
        { role: 'tool', content: 'A place.', tool_call_id: 'a', name: 'look_up' },
      ],
    });
    const input = [
      { role: 'user', content: 'What is a harbor?' },
      { role: 'assistant', content: 'Wait.' },
      {
        type: 'function_call',
        call_id: 'a',
        name: 'look_up',
        arguments: ARGUMENTS,
        status: 'completed',
        id: 'fc_1',
      },
      { type: 'function_call', call_id: 'b', name: 'count', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: [{ type: 'input_text', text: 'A place.' }] },
    ];
    const response = await jobOf({}, 'responses', { model: MODEL, input });
    expect(response.prompt).toEqual({
      kind: 'chat',
      messages: [
        ...messages,
        { role: 'assistant', content: 'Wait.', tool_calls },
        { role: 'tool', content: 'A place.', tool_call_id: 'a', name: 'look_up' },
      ],
    });
  });
});

test('a line of a batch calls tools as the endpoint itself does', async () => {
  play(CALL);
  const { id } = await bed.submit([chatLine('a', 'What is a harbor?', { tools, tool_choice: 'required' })]);
  const batch = await bed.until(id, 'completed');
  const [line] = await bed.results(batch.output_file_id);
  expect(line.response?.body).toMatchObject({
    choices: [
      {
        finish_reason: 'tool_calls',
        message: { content: null, tool_calls: [{ function: { name: 'look_up', arguments: ARGUMENTS } }] },
      },
    ],
  });
  expect(job()).toMatchObject({ constraint: { kind: 'tool_call' }, prompt: { tools: [{}, {}] } });
});
