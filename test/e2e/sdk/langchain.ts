import { ContextOverflowError } from '@langchain/core/errors';
import { type AIMessageChunk, HumanMessage, type UsageMetadata } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { concat } from '@langchain/core/utils/stream';
import { ChatOpenAI, type ChatOpenAIFields, OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import type { ChatCompletion } from 'openai/resources/chat/completions';
import { describe, expect, test } from 'vitest';
import {
  ANSWER,
  ENDLESS,
  Entry,
  FOUND,
  LookupInput,
  MOST_STRUCTURED_TOKENS,
  QUESTION,
  TOO_LONG,
  TOOL,
} from './asks.ts';
import { expectCancelled, type SdkTarget } from './target.ts';

const settingsOf = ({ baseURL, apiKey, model }: SdkTarget) => ({
  model,
  apiKey,
  temperature: 0,
  maxRetries: 0,
  configuration: { baseURL },
});

const chatOf = (target: SdkTarget, fields: ChatOpenAIFields = {}): ChatOpenAI =>
  new ChatOpenAI({ ...settingsOf(target), ...fields });

const totalTokens = ({ usage_metadata }: AIMessageChunk): number | undefined =>
  (usage_metadata as UsageMetadata | undefined)?.total_tokens;

const lookup = tool(() => FOUND, { ...TOOL, schema: LookupInput });

/** LangChain's package for OpenAI. */
export function describeLangChain(target: () => SdkTarget): void {
  describe('LangChain', () => {
    describeTexts(target);
    describeTools(target);
    describeOutputs(target);
    describeErrors(target);
  });
}

function describeTexts(target: () => SdkTarget): void {
  test.each([
    ['chat completions', false],
    ['responses', true],
  ])('invokes and streams through %s', async (_, useResponsesApi) => {
    const model = chatOf(target(), { useResponsesApi });
    const whole = await model.invoke(QUESTION);
    expect(whole.text).toBe(ANSWER);
    const [first, ...rest] = await Array.fromAsync(await model.stream(QUESTION));
    const streamed = rest.reduce((sum, chunk) => concat(sum, chunk), first);
    expect(streamed.text).toBe(ANSWER);
    expect(rest.length).toBeGreaterThan(2);
    expect(totalTokens(whole)).toBeGreaterThan(0);
    expect(totalTokens(streamed)).toBe(totalTokens(whole));
  });

  test('invokes the older model class', async () => {
    const model = new OpenAI({ ...settingsOf(target()), maxTokens: 16 });
    const whole = await model.invoke('harbor (noun):');
    expect(whole).not.toBe('');
    expect((await Array.fromAsync(await model.stream('harbor (noun):'))).join('')).toBe(whole);
  });

  test('is told log probabilities', async () => {
    const { response_metadata } = await chatOf(target(), { logprobs: true, topLogprobs: 2 }).invoke(QUESTION);
    const { content: tokens } = response_metadata.logprobs as ChatCompletion.Choice.Logprobs;
    expect(tokens!.map(({ token }) => token).join('')).toContain(ANSWER);
    for (const { top_logprobs } of tokens!) expect(top_logprobs).toHaveLength(2);
  });

  test('aborts a stream, and so cancels it', async () => {
    await expectCancelled(target(), async () => {
      const client = new AbortController();
      const { max_tokens: maxTokens, ...modelKwargs } = ENDLESS;
      const model = chatOf(target(), { maxTokens, modelKwargs });
      const asking = (async () => {
        let text = '';
        for await (const chunk of await model.stream(QUESTION, { signal: client.signal })) {
          text += chunk.text;
          if (text.length > 10) client.abort();
        }
      })();
      await expect(asking).rejects.toThrow(/abort/i);
    });
  });
}

function describeTools(target: () => SdkTarget): void {
  test('binds tools, runs what is called, and goes on with what it found', async () => {
    const model = chatOf(target(), { maxTokens: MOST_STRUCTURED_TOKENS });
    const bound = model.bindTools([lookup], { tool_choice: 'required' });
    const called = await bound.invoke(QUESTION);
    expect(called.tool_calls).toHaveLength(1);
    const [call] = called.tool_calls!;
    expect(call).toEqual({
      type: 'tool_call',
      id: expect.any(String),
      name: TOOL.name,
      args: LookupInput.parse(call.args),
    });

    const chunks = await Array.fromAsync(await bound.stream(QUESTION));
    const streamed = chunks.reduce((sum, chunk) => concat(sum, chunk));
    expect(streamed.tool_calls).toMatchObject([{ name: TOOL.name, args: call.args }]);

    const found = await lookup.invoke({ ...call, type: 'tool_call' });
    const rest = chatOf(target(), { maxTokens: 8 }).bindTools([lookup], { tool_choice: 'none' });
    const answer = await rest.invoke([new HumanMessage(QUESTION), called, found]);
    expect(answer.text).not.toBe('');
  });

  test('binds tools of responses', async () => {
    const model = chatOf(target(), { useResponsesApi: true });
    const called = await model.bindTools([lookup], { tool_choice: TOOL.name }).invoke(QUESTION);
    const [call] = called.tool_calls!;
    expect(call.args).toEqual(LookupInput.parse(call.args));
  });
}

function describeOutputs(target: () => SdkTarget): void {
  test.each([
    ['jsonSchema', false],
    ['jsonSchema', true],
    ['functionCalling', false],
  ] as const)('structures its output by %s (responses: %s)', async (method, useResponsesApi) => {
    const model = chatOf(target(), { useResponsesApi, maxTokens: MOST_STRUCTURED_TOKENS });
    const entry = await model.withStructuredOutput(Entry, { method, name: 'entry' }).invoke(QUESTION);
    expect(entry).toEqual(Entry.parse(entry));
  });
}

function describeErrors(target: () => SdkTarget): void {
  test('throws errors that tell what is wrong', async () => {
    const embeddings = new OpenAIEmbeddings({ ...settingsOf(target()), model: 'any' });
    const embedding = embeddings.embedQuery(QUESTION);
    await expect(embedding).rejects.toMatchObject({ status: 400, code: 'unsupported_endpoint' });
    const unknown = chatOf(target(), { model: 'other' }).invoke(QUESTION);
    await expect(unknown).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    const stranger = chatOf(target(), { apiKey: 'sk-wrong' }).invoke(QUESTION);
    await expect(stranger).rejects.toMatchObject({ status: 401 });
    const tooLong = chatOf(target()).invoke(TOO_LONG);
    await expect(tooLong).rejects.toThrow(ContextOverflowError);
  });
}
