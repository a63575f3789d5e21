import OpenAI, { toFile } from 'openai';
import { describe, expect, test, vi } from 'vitest';
import { ANSWER, QUESTION, TOO_LONG } from './asks.ts';
import { chatAsk, openaiClient, startEndless } from './openai-client.ts';
import { describeOpenAINodeStructures } from './openai-node-structures.ts';
import { expectCancelled, type SdkTarget } from './target.ts';

const CHAT_ENDPOINT = '/v1/chat/completions';
const BATCH_LINES = 3;
const BATCH_LIMIT_MS = 20_000;

/** OpenAI's package for Node against a server that is not OpenAI's. */
export function describeOpenAINode(target: () => SdkTarget): void {
  describe('the openai package for Node', () => {
    describeTexts(target);
    describeLogprobs(target);
    describeOpenAINodeStructures(target);
    describeErrors(target);
    describeBatches(target);
    describeAborts(target);
  });
}

function describeTexts(target: () => SdkTarget): void {
  test('lists and finds models', async () => {
    const client = openaiClient(target());
    const { model } = target();
    const listed = await Array.fromAsync(client.models.list());
    expect(listed.map(({ id }) => id)).toEqual([model]);
    expect(await client.models.retrieve(model)).toEqual(listed[0]);
  });

  test('chats, whole and streamed', async () => {
    const client = openaiClient(target());
    const ask = chatAsk(target());
    const whole = await client.chat.completions.create(ask);
    expect(whole.choices[0]).toMatchObject({ message: { content: ANSWER }, finish_reason: 'stop' });
    let text = '';
    let tokens: number | undefined;
    for await (const { choices, usage } of await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    })) {
      text += choices[0]?.delta.content ?? '';
      tokens = usage?.total_tokens ?? tokens;
    }
    expect([text, tokens]).toEqual([ANSWER, whole.usage!.total_tokens]);
  });

  test('completes text, whole and streamed', async () => {
    const client = openaiClient(target());
    const ask = { model: target().model, prompt: 'harbor (noun):', temperature: 0 };
    const whole = await client.completions.create(ask);
    expect(whole.usage?.completion_tokens).toBeGreaterThan(0);
    let text = '';
    for await (const { choices } of await client.completions.create({ ...ask, stream: true })) {
      text += choices[0]?.text ?? '';
    }
    expect(text).toBe(whole.choices[0].text);
    expect(text).not.toBe('');
  });

  test('asks for responses, whole and streamed', async () => {
    const client = openaiClient(target());
    const ask = { model: target().model, input: QUESTION, temperature: 0 };
    const whole = await client.responses.create(ask);
    expect(whole).toMatchObject({ output_text: ANSWER, status: 'completed' });
    let text = '';
    const stream = client.responses.stream(ask).on('response.output_text.delta', ({ delta }) => {
      text += delta;
    });
    const final = await stream.finalResponse();
    expect([text, final.output_text]).toEqual([ANSWER, ANSWER]);
    expect(final.usage?.total_tokens).toBe(whole.usage!.total_tokens);
  });
}

function describeLogprobs(target: () => SdkTarget): void {
  test('is told log probabilities, whole and streamed', async () => {
    const client = openaiClient(target());
    const ask = { ...chatAsk(target()), logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(ask);
    const tokens = whole.choices[0].logprobs!.content!;
    expect(tokens.map(({ token }) => token).join('')).toContain(ANSWER);
    for (const { logprob, top_logprobs } of tokens) {
      expect(top_logprobs).toHaveLength(2);
      expect(top_logprobs[0].logprob).toBe(logprob);
    }
    const streamed: string[] = [];
    for await (const { choices } of await client.chat.completions.create({ ...ask, stream: true })) {
      streamed.push(...(choices[0]?.logprobs?.content ?? []).map(({ token }) => token));
    }
    expect(streamed).toEqual(tokens.map(({ token }) => token));
  });
}

function describeErrors(target: () => SdkTarget): void {
  test('throws errors of its own classes', async () => {
    const client = openaiClient(target());
    const ask = chatAsk(target());
    const { model } = target();

    const embeddings = client.embeddings.create({ model, input: QUESTION });
    await expect(embeddings).rejects.toThrow(OpenAI.BadRequestError);
    await expect(embeddings).rejects.toMatchObject({ code: 'unsupported_endpoint' });

    const unknown = client.chat.completions.create({ ...ask, model: 'other' });
    await expect(unknown).rejects.toThrow(OpenAI.NotFoundError);

    const stranger = openaiClient(target(), { apiKey: 'sk-wrong' }).models.list();
    await expect(stranger).rejects.toThrow(OpenAI.AuthenticationError);

    const messages = [{ role: 'user' as const, content: TOO_LONG }];
    for (const stream of [false, true]) {
      const tooLong = client.chat.completions.create({ ...ask, messages, stream });
      await expect(tooLong).rejects.toThrow(OpenAI.BadRequestError);
      await expect(tooLong).rejects.toMatchObject({ code: 'context_length_exceeded' });
    }
  });
}

function describeBatches(target: () => SdkTarget): void {
  test('uploads a file, runs a batch of it, and downloads the results', async () => {
    const client = openaiClient(target());
    const numbers = Array.from({ length: BATCH_LINES }, (_, index) => index);
    const line = { method: 'POST', url: CHAT_ENDPOINT, body: chatAsk(target()) };
    const input = numbers
      .map((number) => JSON.stringify({ custom_id: `line-${number}`, ...line }))
      .join('\n');

    const upload = await toFile(Buffer.from(input), 'in.jsonl');
    const file = await client.files.create({ file: upload, purpose: 'batch' });
    expect(await client.files.retrieve(file.id)).toEqual(file);
    expect(await (await client.files.content(file.id)).text()).toBe(input);

    const { id } = await client.batches.create({
      input_file_id: file.id,
      endpoint: CHAT_ENDPOINT,
      completion_window: '24h',
    });
    const ended = vi.waitFor(
      async () => {
        const seen = await client.batches.retrieve(id);
        expect(seen.status).toBe('completed');
        return seen;
      },
      { timeout: BATCH_LIMIT_MS, interval: 50 },
    );
    const [batch] = await Promise.all([ended, target().runBatches()]);
    expect(batch.request_counts).toEqual({ total: BATCH_LINES, completed: BATCH_LINES, failed: 0 });
    const output = await (await client.files.content(batch.output_file_id!)).text();
    const results = output
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text));
    expect(results.map(({ custom_id }) => custom_id).sort()).toEqual(numbers.map((n) => `line-${n}`));
    for (const { response } of results) expect(response.body.choices[0].message.content).toBe(ANSWER);

    const kept = await Array.fromAsync(client.files.list());
    const own = [file.id, batch.output_file_id!];
    expect(kept.map((one) => one.id)).toEqual(expect.arrayContaining(own));
    expect((await Array.fromAsync(client.batches.list())).map((one) => one.id)).toContain(id);
    for (const one of own) expect((await client.files.delete(one)).deleted).toBe(true);
  });
}

function describeAborts(target: () => SdkTarget): void {
  test('leaves a stream in its middle, and so cancels it', async () => {
    await expectCancelled(target(), async () => {
      let text = '';
      for await (const { choices } of await startEndless(openaiClient(target()), target())) {
        text += choices[0]?.delta.content ?? '';
        if (text.length > 10) break;
      }
    });
  });

  test('aborts a stream, and so cancels it', async () => {
    await expectCancelled(target(), async () => {
      const stream = await startEndless(openaiClient(target()), target());
      let events = 0;
      for await (const _ of stream) {
        events += 1;
        if (events === 3) stream.controller.abort();
      }
    });
  });
}
