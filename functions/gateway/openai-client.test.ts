import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createGatewayBed, type GatewayBed, MODEL } from '../../test/support/gateway/bed.ts';
import { announce, answer } from '../../test/support/gateway/scripted-pool.ts';

let bed: GatewayBed;
let client: OpenAI;
beforeAll(async () => {
  bed = await createGatewayBed();
  client = new OpenAI({ baseURL: `${bed.address}/v1`, apiKey: 'unused', maxRetries: 0 });
  bed.pool.play(({ choice }, emit) => emit(...answer(choice, ['Safe ', 'place.'])));
});
afterAll(() => bed.close());

const messages = [{ role: 'user' as const, content: 'Define "harbor".' }];

test('chat completions', async () => {
  const completion = await client.chat.completions.create({ model: MODEL, messages });
  expect(completion.choices[0].message.content).toBe('Safe place.');
  expect(completion.usage?.total_tokens).toBe(5);
  expect(completion._request_id).toMatch(/^[0-9a-f]{32}$/);
});

test('streamed chat completions', async () => {
  const stream = await client.chat.completions.create({
    model: MODEL,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let tokens: number | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  expect([text, tokens]).toEqual(['Safe place.', 2]);
});

test('the stream helper puts the chunks together', async () => {
  const final = await client.chat.completions.stream({ model: MODEL, messages, n: 2 }).finalChatCompletion();
  expect(final.choices.map(({ message }) => message.content)).toEqual(['Safe place.', 'Safe place.']);
});

test('text completions, whole and streamed', async () => {
  const whole = await client.completions.create({ model: MODEL, prompt: ['a', 'b'] });
  expect(whole.choices.map(({ text }) => text)).toEqual(['Safe place.', 'Safe place.']);
  let text = '';
  for await (const chunk of await client.completions.create({ model: MODEL, prompt: [1, 2], stream: true })) {
    text += chunk.choices[0].text;
  }
  expect(text).toBe('Safe place.');
});

describe('prompt tokens that the pool had kept', () => {
  type Usage = OpenAI.CompletionUsage | null | undefined;
  const chatFields = { model: MODEL, messages };
  const textFields = { model: MODEL, prompt: 'Define' };
  const streamed = { stream: true, stream_options: { include_usage: true } } as const;

  /** Usage of the same request as chat and as text completion, whole and streamed. */
  async function usages(): Promise<Usage[]> {
    const found: Usage[] = [
      (await client.chat.completions.create(chatFields)).usage,
      (await client.completions.create(textFields)).usage,
    ];
    for (const stream of [
      await client.chat.completions.create({ ...chatFields, ...streamed }),
      await client.completions.create({ ...textFields, ...streamed }),
    ]) {
      let last: Usage;
      for await (const { usage } of stream) last = usage;
      found.push(last);
    }
    return found;
  }

  test('are told in every usage object', async () => {
    bed.pool.play(({ choice }, emit) => emit(...answer(choice, ['Safe ', 'place.'], 400, 384)));
    for (const usage of await usages()) {
      expect(usage).toEqual({
        prompt_tokens: 400,
        completion_tokens: 2,
        total_tokens: 402,
        prompt_tokens_details: { cached_tokens: 384 },
      });
    }
  });

  test('are those of the last attempt where a job was taken over', async () => {
    bed.pool.play(async ({ choice }, emit) => {
      const [started, first] = answer(choice, ['Safe ', 'place.'], 400, 384);
      await emit(started, first);
      // The host that takes over has kept less of the prompt.
      await emit(...answer(choice, ['Safe ', 'place.'], 400, 128).slice(2));
    });
    for (const usage of await usages()) expect(usage?.prompt_tokens_details?.cached_tokens).toBe(128);
  });
});

test('models', async () => {
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  expect(ids).toEqual([MODEL]);
  expect((await client.models.retrieve(MODEL)).owned_by).toBe('janus');
});

test('errors are of the client’s own classes', async () => {
  const create = (fields: object) => client.chat.completions.create({ model: MODEL, messages, ...fields });
  await expect(create({ temperature: 3 })).rejects.toThrow(OpenAI.BadRequestError);
  await expect(create({ temperature: 3 })).rejects.toMatchObject({ param: 'temperature', status: 400 });
  await expect(create({ model: 'other' })).rejects.toThrow(OpenAI.NotFoundError);
  await expect(create({ model: 'other' })).rejects.toMatchObject({ code: 'model_not_found' });
  await announce(bed.redis.client, 'slow', 'loading');
  await expect(create({ model: 'slow' })).rejects.toThrow(OpenAI.InternalServerError);
  await expect(client.get('/nowhere')).rejects.toThrow(OpenAI.NotFoundError);
});

test('an error amid a stream is thrown by the iteration', async () => {
  bed.pool.play(({ choice }, emit) =>
    emit(
      { kind: 'started', choice, promptTokens: 1 },
      {
        kind: 'failed',
        choice,
        error: {
          status: 500,
          type: 'server_error',
          code: 'expert_lost',
          param: null,
          message: 'No replica is left',
        },
      },
    ),
  );
  const stream = await client.chat.completions.create({ model: MODEL, messages, stream: true });
  const drain = async () => {
    for await (const chunk of stream) expect(chunk.object).toBe('chat.completion.chunk');
  };
  await expect(drain()).rejects.toThrow(/No replica is left/);
});
