import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayBed, type GatewayBed, MODEL, readSse } from '../../test/support/gateway/bed.ts';
import { answer } from '../../test/support/gateway/scripted-pool.ts';
import { ARGUMENTS, CALL, COUNT_CALL, cut, LOOK_UP } from '../../test/support/gateway/tool-calls.ts';

let bed: GatewayBed;
let client: OpenAI;
beforeAll(async () => {
  bed = await createGatewayBed();
  client = new OpenAI({ baseURL: `${bed.address}/v1`, apiKey: 'unused', maxRetries: 0 });
});
afterAll(() => bed.close());

const play = (text: string) => bed.pool.play(({ choice }, emit) => emit(...answer(choice, cut(text))));

describe('a response', () => {
  const tool = { type: 'function' as const, ...LOOK_UP, strict: true };
  const body = { model: MODEL, input: 'What is a harbor?', tools: [tool] };

  test('has calls among its items, and repeats what was asked', async () => {
    play(`See:\n${CALL}`);
    const tool_choice = { type: 'function', name: 'look_up' } as const;
    const response = await client.responses.create({ ...body, tool_choice, parallel_tool_calls: false });
    expect(response).toMatchObject({
      status: 'completed',
      tools: [tool],
      tool_choice,
      parallel_tool_calls: false,
    });
    expect(response.output).toMatchObject([
      { type: 'message', content: [{ type: 'output_text', text: 'See:' }] },
      { type: 'function_call', status: 'completed', name: 'look_up', arguments: ARGUMENTS },
    ]);
    const { name, parameters } = LOOK_UP;
    expect(bed.pool.jobs.at(-1)!.constraint).toEqual({
      kind: 'tool_call',
      functions: [{ name, parameters }],
    });
    play(CALL);
    const calling = await client.responses.create(body);
    expect(calling.output.map(({ type }) => type)).toEqual(['function_call']);
    expect(calling.output_text).toBe('');
  });

  test('streams each item from its beginning to its end', async () => {
    play(`See:\n${CALL}`);
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of await client.responses.create({ ...body, stream: true })) events.push(event);
    const message = ['output_item.added', 'content_part.added', 'output_text.delta'];
    const messageEnd = ['output_text.done', 'content_part.done', 'output_item.done'];
    const call = [
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
    ];
    expect(events.map(({ type }) => type)).toEqual(
      ['created', 'in_progress', ...message, ...messageEnd, ...call, 'completed'].map(
        (type) => `response.${type}`,
      ),
    );
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    const items = events
      .filter((event) => event.type === 'response.output_item.done')
      .map(({ item }) => item);
    const last = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
    expect(last.response.output).toEqual(items);
    const [delta] = events.filter((event) => event.type === 'response.function_call_arguments.delta');
    expect(delta).toMatchObject({ output_index: 1, item_id: items[1].id, delta: ARGUMENTS });
  });

  test('is put together by the library', async () => {
    play(CALL + COUNT_CALL);
    const count = { type: 'function' as const, name: 'count', parameters: null, strict: null };
    const final = await client.responses.stream({ ...body, tools: [tool, count] }).finalResponse();
    expect(final.output).toMatchObject([
      { type: 'function_call', name: 'look_up', arguments: ARGUMENTS },
      { type: 'function_call', name: 'count', arguments: '{}' },
    ]);
    const ids = final.output.map((item) => item.type === 'function_call' && item.call_id);
    expect(new Set(ids).size).toBe(2);
  });

  test('without anything is an empty message', async () => {
    play('');
    const response = await bed.post('/v1/responses', { ...body, stream: true });
    const { objects } = await readSse(response);
    expect(objects.at(-1)).toMatchObject({
      response: { output: [{ type: 'message', content: [{ text: '' }] }] },
    });
  });
});
