import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, generateText, isStepCount, Output, streamText, tool } from 'ai';
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

/** Name of the provider, under which it takes options that the SDK does not know. */
const PROVIDER = 'janus';

// It warns of options that it does not send, on the standard error output.
globalThis.AI_SDK_LOG_WARNINGS = false;

const providerOf = ({ baseURL, apiKey }: SdkTarget) =>
  createOpenAICompatible({
    name: PROVIDER,
    baseURL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });

/** The question, to be answered greedily. */
const askOf = (target: SdkTarget) => ({
  model: providerOf(target).chatModel(target.model),
  prompt: QUESTION,
  temperature: 0,
  maxRetries: 0,
});

const tools = {
  [TOOL.name]: tool({ description: TOOL.description, inputSchema: LookupInput, execute: () => FOUND }),
};

/** Vercel's AI SDK, which knows of the server only that it is compatible with OpenAI's. */
export function describeAiSdk(target: () => SdkTarget): void {
  describe('the AI SDK', () => {
    describeTexts(target);
    describeTools(target);
    describeOutputs(target);
    describeErrors(target);
  });
}

function describeTexts(target: () => SdkTarget): void {
  test('generates and streams text', async () => {
    const whole = await generateText(askOf(target()));
    expect([whole.text, whole.finishReason]).toEqual([ANSWER, 'stop']);
    expect(whole.usage.outputTokens).toBeGreaterThan(0);
    const streamed = streamText(askOf(target()));
    expect((await Array.fromAsync(streamed.textStream)).join('')).toBe(ANSWER);
    expect(await streamed.finishReason).toBe('stop');
    expect((await streamed.usage).totalTokens).toBe(whole.usage.totalTokens);
  });

  test('generates from a plain prompt', async () => {
    const { model: name } = target();
    const model = providerOf(target()).completionModel(name);
    const whole = await generateText({ ...askOf(target()), model, maxOutputTokens: 16 });
    expect(whole.text).not.toBe('');
    const streamed = streamText({ ...askOf(target()), model, maxOutputTokens: 16 });
    expect((await Array.fromAsync(streamed.textStream)).join('')).toBe(whole.text);
  });

  test('passes log probabilities on', async () => {
    const { response } = await generateText({
      ...askOf(target()),
      providerOptions: { [PROVIDER]: { logprobs: true, top_logprobs: 1 } },
      include: { responseBody: true },
    });
    const told = expect.objectContaining({ token: expect.any(String), logprob: expect.any(Number) });
    expect(response.body).toMatchObject({
      choices: [{ logprobs: { content: expect.arrayContaining([told]) } }],
    });
  });

  test('aborts a stream, and so cancels it', async () => {
    await expectCancelled(target(), async () => {
      const client = new AbortController();
      const { textStream } = streamText({
        ...askOf(target()),
        maxOutputTokens: ENDLESS.max_tokens,
        providerOptions: { [PROVIDER]: { ignore_eos: ENDLESS.ignore_eos } },
        abortSignal: client.signal,
      });
      let text = '';
      for await (const piece of textStream) {
        text += piece;
        if (text.length > 10) client.abort();
      }
      expect(text).not.toBe('');
    });
  });
}

function describeTools(target: () => SdkTarget): void {
  test('runs a tool that the model calls, and goes on with what it found', async () => {
    const { steps } = await generateText({
      ...askOf(target()),
      maxOutputTokens: MOST_STRUCTURED_TOKENS,
      tools,
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? 'required' : 'none' }),
      stopWhen: isStepCount(2),
    });
    expect(steps.map(({ finishReason }) => finishReason)).toEqual([
      'tool-calls',
      expect.not.stringContaining('tool'),
    ]);
    const [call] = steps[0].toolCalls;
    expect(call.toolName).toBe(TOOL.name);
    const input = LookupInput.parse(call.input);
    expect(steps[0].toolResults).toMatchObject([{ input, output: FOUND }]);
    expect(steps[1].text).not.toBe('');
  });

  test('streams the calls of a tool', async () => {
    const ask = {
      ...askOf(target()),
      maxOutputTokens: MOST_STRUCTURED_TOKENS,
      tools,
      toolChoice: { type: 'tool', toolName: TOOL.name } as const,
    };
    const [call] = (await generateText(ask)).toolCalls;
    const [streamed] = await streamText(ask).toolCalls;
    expect(streamed).toMatchObject({ toolName: TOOL.name, input: LookupInput.parse(call.input) });
  });
}

function describeOutputs(target: () => SdkTarget): void {
  test('generates and streams objects of a schema', async () => {
    const ask = {
      ...askOf(target()),
      maxOutputTokens: MOST_STRUCTURED_TOKENS,
      output: Output.object({ schema: Entry, name: 'entry' }),
    };
    const { output, text } = await generateText(ask);
    expect(output).toEqual(Entry.parse(JSON.parse(text)));
    const parts = await Array.fromAsync(streamText(ask).partialOutputStream);
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.at(-1)).toEqual(output);
  });
}

function describeErrors(target: () => SdkTarget): void {
  test('throws errors of its own class', async () => {
    const provider = providerOf(target());
    const ask = askOf(target());
    const failures = [
      [() => embed({ model: provider.embeddingModel('any'), value: QUESTION, maxRetries: 0 }), 400],
      [() => generateText({ ...ask, prompt: TOO_LONG }), 400],
      [() => generateText({ ...ask, model: provider.chatModel('other') }), 404],
      [() => generateText(askOf({ ...target(), apiKey: 'sk-wrong' })), 401],
    ] as const;
    for (const [fail, statusCode] of failures) {
      const error = await fail().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(APICallError.isInstance(error)).toBe(true);
      expect(error).toMatchObject({ statusCode, isRetryable: false });
    }
  });
}
