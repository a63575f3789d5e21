import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { createGatewayBed, type GatewayBed, MODEL, readJson } from '../../test/support/gateway/bed.ts';
import { answer } from '../../test/support/gateway/scripted-pool.ts';

let bed: GatewayBed;
let client: OpenAI;
beforeAll(async () => {
  bed = await createGatewayBed();
  client = new OpenAI({ baseURL: `${bed.address}/v1`, apiKey: 'unused', maxRetries: 0 });
});
afterAll(() => bed.close());

const play = (...texts: string[]) =>
  bed.pool.play(({ choice }, emit) => emit(...answer(choice, texts, 3, 1)));
const cutOff: TokenEvent[] = answer(0, ['Safe ', 'place.']).map((event) =>
  event.kind === 'finished' ? { ...event, reason: 'length' } : event,
);

describe('a response', () => {
  test('is whole where no stream was asked for', async () => {
    play('Safe ', 'place.');
    const response = await client.responses.create({
      model: MODEL,
      instructions: 'Be brief.',
      input: 'Define "harbor".',
      max_output_tokens: 50,
      metadata: { purpose: 'test' },
    });
    expect(response.output_text).toBe('Safe place.');
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      instructions: 'Be brief.',
      metadata: { purpose: 'test' },
      usage: { input_tokens: 3, output_tokens: 2, input_tokens_details: { cached_tokens: 1 } },
    });
    expect(bed.pool.jobs.at(-1)).toMatchObject({
      maxTokens: 50,
      prompt: {
        kind: 'chat',
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Define "harbor".' },
        ],
      },
    });
  });

  test('takes a conversation, whose parts become one text', async () => {
    play('yes');
    await client.responses.create({
      model: MODEL,
      input: [
        { role: 'developer', content: 'Be kind.' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'a' },
            { type: 'input_text', text: 'b' },
          ],
        },
        {
          type: 'message',
          id: 'msg_1',
          status: 'completed',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'c', annotations: [] }],
        },
        { role: 'user', content: 'd' },
      ],
    });
    expect(bed.pool.jobs.at(-1)!.prompt).toEqual({
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'a\nb' },
        { role: 'assistant', content: 'c' },
        { role: 'user', content: 'd' },
      ],
    });
  });

  test('can be bound to a schema', async () => {
    play('{}');
    const schema = { type: 'object', properties: { word: { type: 'string' } } };
    const format = { type: 'json_schema', name: 'word', schema } as const;
    const response = await client.responses.create({ model: MODEL, input: 'x', text: { format } });
    expect(response.text?.format).toEqual(format);
    expect(bed.pool.jobs.at(-1)!.constraint).toEqual({ kind: 'json_schema', schema });
  });

  test('says that it ran out of tokens', async () => {
    bed.pool.play((_, emit) => emit(...cutOff));
    const response = await client.responses.create({ model: MODEL, input: 'x', max_output_tokens: 2 });
    expect(response.status).toBe('incomplete');
    expect(response.incomplete_details).toEqual({ reason: 'max_output_tokens' });
  });
});

describe('a stream', () => {
  test('tells the events in order, and the same response at its end', async () => {
    play('Safe ', 'place.');
    const stream = await client.responses.create({ model: MODEL, input: 'x', stream: true });
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    expect(events.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
    const [last] = events.slice(-1) as [OpenAI.Responses.ResponseCompletedEvent];
    expect(last.response).toMatchObject({ status: 'completed', usage: { total_tokens: 5 } });
  });

  test('is put together by the library', async () => {
    play('Safe ', 'place.');
    const final = await client.responses.stream({ model: MODEL, input: 'x' }).finalResponse();
    expect(final.output_text).toBe('Safe place.');
  });

  test('ends as incomplete when the tokens ran out', async () => {
    bed.pool.play((_, emit) => emit(...cutOff));
    const stream = client.responses.stream({ model: MODEL, input: 'x' });
    expect((await stream.finalResponse()).status).toBe('incomplete');
  });

  test('names its events, and has no [DONE]', async () => {
    play('x');
    const response = await bed.post('/v1/responses', { model: MODEL, input: 'x', stream: true });
    const text = await response.text();
    expect(text).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/);
    expect(text).not.toContain('[DONE]');
  });
});

test.each([
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [
    { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
    'input[0].content[0].type',
  ],
  [{ input: [{ type: 'function_call_output', call_id: 'x', output: '' }] }, 'input[0].call_id'],
  [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0].type'],
  [{ input: 'x', previous_response_id: 'resp_1' }, 'previous_response_id'],
  [{ input: 'x', background: true }, 'background'],
  [{ input: 'x', truncation: 'auto' }, 'truncation'],
  [{ input: 'x', tools: [{ type: 'web_search' }] }, 'tools[0].type'],
  [{ input: 'x', max_output_tokens: 0 }, 'max_output_tokens'],
  [{ input: 'x', response_format: { type: 'json_object' } }, 'response_format'],
  [{ input: 'x', text: { format: { type: 'xml' } } }, 'text.format.type'],
  [
    { input: 'x', text: { format: { type: 'json_schema', name: 'a', schema: { not: {} } } } },
    'text.format.schema',
  ],
])('%j is refused, by the name of the field', async (fields, param) => {
  const response = await bed.post('/v1/responses', { model: MODEL, ...fields });
  expect(response.status).toBe(400);
  expect((await readJson(response)).error).toMatchObject({ param, type: 'invalid_request_error' });
});

test.each(['/v1/embeddings', '/v1/images/generations', '/models/x/v1/audio/speech'])(
  '%s says that it is not offered',
  async (path) => {
    const response = await bed.post(path, { model: MODEL, input: 'x' });
    expect(response.status).toBe(400);
    expect((await readJson(response)).error).toMatchObject({ code: 'unsupported_endpoint' });
  },
);

test('the library throws for embeddings what it throws for any bad request', async () => {
  const embedding = client.embeddings.create({ model: MODEL, input: 'x' });
  await expect(embedding).rejects.toThrow(OpenAI.BadRequestError);
});
