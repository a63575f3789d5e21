import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayBed, type GatewayBed, MODEL, readJson } from '../../../test/support/gateway/bed.ts';

/** Largest prompt, in characters. */
const LIMIT = 2_000;
let bed: GatewayBed;
beforeAll(async () => {
  bed = await createGatewayBed({ limits: { promptCharacters: LIMIT } });
});
afterAll(() => bed.close());

const user = { role: 'user', content: 'Hi' };
const described = { name: 'look_up', parameters: { type: 'object', properties: {} } };
const lookUp = (fields: object = {}) => ({ type: 'function', function: { ...described, ...fields } });
const chat = (fields: object) => ({ messages: [user], ...fields });
const withParameters = (parameters: unknown) =>
  chat({ tools: [lookUp({ name: 'other' }), lookUp({ parameters })] });
const calling = (fields: object, more: object = {}) => ({
  role: 'assistant',
  tool_calls: [
    { id: 'a', type: 'function', function: { name: 'look_up', arguments: '{}', ...fields }, ...more },
  ],
});
const withCall = (fields: object, more: object = {}) => chat({ messages: [user, calling(fields, more)] });
const response = (fields: object) => ({ input: 'x', ...fields });
const call = { type: 'function_call', call_id: 'a', name: 'look_up', arguments: '{}' };
const deep = `{"a":${'['.repeat(1_000)}${']'.repeat(1_000)}}`;

async function expectRefusal(path: string, body: object, param: string, message: RegExp): Promise<void> {
  const taken = bed.pool.jobs.length;
  const answer = await bed.post(`/v1/${path}`, { model: MODEL, ...body });
  const { error } = await readJson(answer);
  expect(answer.status, JSON.stringify(error)).toBe(400);
  expect(error).toMatchObject({ type: 'invalid_request_error', param });
  expect(error.message).toMatch(message);
  expect(String(error.message)).toContain(`'${param}'`);
  expect(JSON.stringify(error).length).toBeLessThan(600);
  expect(bed.pool.jobs.length).toBe(taken);
}

describe('a chat completion is refused, naming the field', () => {
  test.each<[string, object, string, RegExp]>([
    ['tools that are no list', chat({ tools: {} }), 'tools', /array/],
    ['more tools than the limit', chat({ tools: Array(129).fill(lookUp()) }), 'tools', /at most 128/],
    ['another type of tool', chat({ tools: [{ type: 'custom' }] }), 'tools[0].type', /must be "function"/],
    [
      'a tool without a function',
      chat({ tools: [{ type: 'function' }] }),
      'tools[0].function',
      /is required/,
    ],
    [
      'a function without a name',
      chat({ tools: [lookUp({ name: null })] }),
      'tools[0].function.name',
      /is required/,
    ],
    [
      'a name with a space',
      chat({ tools: [lookUp({ name: 'look up' })] }),
      'tools[0].function.name',
      /letters/,
    ],
    ['a long name', chat({ tools: [lookUp({ name: 'n'.repeat(65) })] }), 'tools[0].function.name', /1 to 64/],
    ['a name given twice', chat({ tools: [lookUp(), lookUp()] }), 'tools[1].function.name', /another tool/],
    [
      'a wrong description',
      chat({ tools: [lookUp({ description: 1 })] }),
      'tools[0].function.description',
      /string/,
    ],
    ['a wrong strict', chat({ tools: [lookUp({ strict: 'yes' })] }), 'tools[0].function.strict', /boolean/],
    ['parameters as a list', withParameters([]), 'tools[1].function.parameters', /is an object/],
    [
      'parameters of another type',
      withParameters({ type: 'string' }),
      'tools[1].function.parameters',
      /"object"/,
    ],
    [
      'parameters without a type',
      withParameters({ anyOf: [{}] }),
      'tools[1].function.parameters',
      /"object"/,
    ],
    [
      'parameters with a keyword that is not supported',
      withParameters({ type: 'object', properties: { a: { oneOf: [{}] } } }),
      'tools[1].function.parameters',
      /'oneOf' at #\/properties\/a is not supported; supported are type, /,
    ],
    [
      'parameters that nothing fits',
      withParameters({ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }),
      'tools[1].function.parameters',
      /fits no value/,
    ],
    ['an unknown choice', chat({ tools: [lookUp()], tool_choice: 'any' }), 'tool_choice', /"required"/],
    ['a choice that is no object', chat({ tools: [lookUp()], tool_choice: 5 }), 'tool_choice', /"required"/],
    [
      'the choice of a tool that is not there',
      chat({ tools: [lookUp()], tool_choice: lookUp({ name: 'other' }) }),
      'tool_choice',
      /'other' is not among the tools/,
    ],
    ['a choice without tools', chat({ tool_choice: 'required' }), 'tool_choice', /needs 'tools'/],
    ['the choice of a tool without tools', chat({ tool_choice: lookUp() }), 'tool_choice', /needs 'tools'/],
    ['parallel_tool_calls as text', chat({ parallel_tool_calls: 'no' }), 'parallel_tool_calls', /boolean/],
    ['the old functions', chat({ functions: [described] }), 'functions', /use tools/],
    ['the old function_call', chat({ function_call: { name: 'a' } }), 'function_call', /use tool_choice/],
    [
      'the old role',
      chat({ messages: [{ role: 'function', name: 'a', content: 'x' }] }),
      'messages[0].role',
      /"tool"/,
    ],
    ['a call without an id', withCall({}, { id: null }), 'messages[1].tool_calls[0].id', /is required/],
    ['a call with an empty id', withCall({}, { id: '' }), 'messages[1].tool_calls[0].id', /empty/],
    [
      'a call of another type',
      withCall({}, { type: 'custom' }),
      'messages[1].tool_calls[0].type',
      /"function"/,
    ],
    [
      'a call without a name',
      withCall({ name: null }),
      'messages[1].tool_calls[0].function.name',
      /is required/,
    ],
    [
      'arguments that are an object',
      withCall({ arguments: {} }),
      'messages[1].tool_calls[0].function.arguments',
      /string/,
    ],
    [
      'arguments that are no JSON',
      withCall({ arguments: '{a' }),
      'messages[1].tool_calls[0].function.arguments',
      /must be JSON/,
    ],
    [
      'arguments that are a list',
      withCall({ arguments: '[]' }),
      'messages[1].tool_calls[0].function.arguments',
      /a JSON object/,
    ],
    [
      'arguments that are too deep',
      withCall({ arguments: deep }),
      'messages[1].tool_calls[0].function.arguments',
      /at most 128/,
    ],
    [
      'calls of the user',
      chat({ messages: [{ ...calling({}), role: 'user' }] }),
      'messages[0].tool_calls',
      /assistant/,
    ],
    [
      'no calls and no content',
      chat({ messages: [{ role: 'assistant', tool_calls: [] }] }),
      'messages[0].content',
      /is required/,
    ],
    [
      'a result without its call',
      chat({ messages: [{ role: 'tool', content: 'x' }] }),
      'messages[0].tool_call_id',
      /is required/,
    ],
    [
      'a result of a call that was not made',
      chat({ messages: [user, calling({}), { role: 'tool', tool_call_id: 'b', content: 'x' }] }),
      'messages[2].tool_call_id',
      /no tool call before it/,
    ],
    [
      'a result without content',
      chat({ messages: [user, calling({}), { role: 'tool', tool_call_id: 'a' }] }),
      'messages[2].content',
      /is required/,
    ],
    [
      'tools that are too long',
      chat({ tools: [lookUp({ description: 'x'.repeat(LIMIT) })] }),
      'messages',
      /at most 2000/,
    ],
    [
      'calls that are too long',
      withCall({ arguments: `{"a":"${'x'.repeat(LIMIT)}"}` }),
      'messages',
      /at most 2000/,
    ],
  ])('%s', async (_, body, param, message) => expectRefusal('chat/completions', body, param, message));
});

describe('a response is refused, naming the field', () => {
  const tool = { type: 'function', ...described };

  test.each<[string, object, string, RegExp]>([
    [
      'another type of tool',
      response({ tools: [{ type: 'web_search' }] }),
      'tools[0].type',
      /must be "function"/,
    ],
    [
      'a function without a name',
      response({ tools: [{ type: 'function' }] }),
      'tools[0].name',
      /is required/,
    ],
    ['a name given twice', response({ tools: [tool, tool] }), 'tools[1].name', /another tool/],
    [
      'parameters with a keyword that is not supported',
      response({ tools: [{ ...tool, parameters: { type: 'object', not: {} } }] }),
      'tools[0].parameters',
      /'not' at # is not supported/,
    ],
    [
      'the choice of a tool that is not there',
      response({ tools: [tool], tool_choice: { type: 'function', name: 'other' } }),
      'tool_choice',
      /is not among the tools/,
    ],
    ['a choice without tools', response({ tool_choice: 'required' }), 'tool_choice', /needs 'tools'/],
    ['a chat’s choice', response({ tools: [tool], tool_choice: lookUp() }), 'tool_choice', /"name"/],
    [
      'a call without an id',
      response({ input: [{ ...call, call_id: null }] }),
      'input[0].call_id',
      /is required/,
    ],
    [
      'arguments that are no JSON',
      response({ input: [{ ...call, arguments: '{' }] }),
      'input[0].arguments',
      /JSON/,
    ],
    [
      'a result of a call that was not made',
      response({ input: [call, { type: 'function_call_output', call_id: 'b', output: 'x' }] }),
      'input[1].call_id',
      /no tool call before it/,
    ],
    [
      'a result without output',
      response({ input: [call, { type: 'function_call_output', call_id: 'a' }] }),
      'input[1].output',
      /is required/,
    ],
    ['another item', response({ input: [{ type: 'reasoning' }] }), 'input[0].type', /"function_call"/],
  ])('%s', async (_, body, param, message) => expectRefusal('responses', body, param, message));
});

test.each<[object, string]>([
  [{ tools: [lookUp()] }, 'tools'],
  [{ tool_choice: 'required' }, 'tool_choice'],
])('a text completion has no tools: %j', async (fields, param) => {
  await expectRefusal('completions', { prompt: 'x', ...fields }, param, /only chat completions/);
});

test('what changes nothing is taken', async () => {
  for (const fields of [
    { tools: [lookUp({ parameters: {}, description: null, strict: null })], tool_choice: null },
    { tools: [], tool_choice: 'auto', parallel_tool_calls: false },
    {
      messages: [user, { role: 'assistant', content: 'x', tool_calls: null }],
      functions: [],
      function_call: 'none',
    },
    {
      tools: [lookUp({ parameters: { $schema: 'http://json-schema.org/draft-07/schema#', type: 'object' } })],
    },
  ]) {
    const answer = await bed.post('/v1/chat/completions', { model: MODEL, ...chat(fields) });
    expect(answer.status, await answer.text()).toBe(200);
  }
});
