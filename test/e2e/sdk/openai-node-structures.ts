import type OpenAI from 'openai';
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import { Entry, FOUND, LookupInput, MOST_STRUCTURED_TOKENS, QUESTION, TOOL } from './asks.ts';
import { chatAsk, openaiClient } from './openai-client.ts';
import type { SdkTarget } from './target.ts';

type Lookup = z.infer<typeof LookupInput>;
type ToolCall = OpenAI.Chat.Completions.ParsedChatCompletionMessageToolCall;

const limit = { max_tokens: MOST_STRUCTURED_TOKENS };
const lookup = zodFunction({ ...TOOL, parameters: LookupInput });

/** Expects one call of the tool whose arguments fit. */
function expectLookup(calls: readonly ToolCall[] | undefined) {
  expect(calls).toHaveLength(1);
  const [call] = calls!;
  if (call.type !== 'function') throw new Error(`A call of type ${call.type}`);
  expect(call.function.name).toBe(TOOL.name);
  expect(LookupInput.parse(call.function.parsed_arguments)).toEqual(JSON.parse(call.function.arguments));
  return call;
}

/** Tools and JSON Schemas, with the package's helpers for zod. */
export function describeOpenAINodeStructures(target: () => SdkTarget): void {
  describeChatTools(target);
  describeResponseTools(target);
  describeFormats(target);
}

function describeChatTools(target: () => SdkTarget): void {
  test('calls tools in chats, whole and streamed, and tells what they found', async () => {
    const client = openaiClient(target());
    const ask = { ...chatAsk(target()), tools: [lookup] };
    const bound = { ...ask, ...limit, tool_choice: 'required' as const };
    const { choices } = await client.chat.completions.parse(bound);
    const call = expectLookup(choices[0].message.tool_calls);
    expect(choices[0].finish_reason).toBe('tool_calls');

    const streamed = await client.chat.completions.stream(bound).finalChatCompletion();
    const again = expectLookup(streamed.choices[0].message.tool_calls);
    expect(again.function).toEqual(call.function);
    expect(streamed.choices[0].finish_reason).toBe('tool_calls');

    const answer = await client.chat.completions.create({
      ...ask,
      messages: [
        ...ask.messages,
        choices[0].message,
        { role: 'tool', tool_call_id: call.id, content: FOUND },
      ],
      tool_choice: 'none',
      max_tokens: 8,
    });
    expect(answer.choices[0].message.content).not.toBe('');
    expect(answer.choices[0].message.tool_calls ?? []).toEqual([]);
  });

  test('runs tools by itself', async () => {
    const asked: Lookup[] = [];
    const runnable = zodFunction({
      ...TOOL,
      parameters: LookupInput,
      function(input) {
        asked.push(input);
        return FOUND;
      },
    });
    const runner = openaiClient(target()).chat.completions.runTools({
      ...chatAsk(target()),
      ...limit,
      tools: [runnable],
      tool_choice: { type: 'function', function: { name: TOOL.name } },
    });
    expect(await runner.finalFunctionToolCallResult()).toBe(FOUND);
    expect(asked).toEqual([LookupInput.parse(asked[0])]);
  });
}

function describeResponseTools(target: () => SdkTarget): void {
  test('calls tools in responses, whole and streamed, and tells what they found', async () => {
    const client = openaiClient(target());
    const { model } = target();
    const question = { role: 'user' as const, content: QUESTION };
    const ask = {
      model,
      temperature: 0,
      tools: [zodResponsesFunction({ ...TOOL, parameters: LookupInput })],
    };
    const bound = {
      ...ask,
      input: [question],
      max_output_tokens: MOST_STRUCTURED_TOKENS,
      tool_choice: { type: 'function' as const, name: TOOL.name },
    };
    const { output } = await client.responses.parse(bound);
    const [call] = output.filter((item) => item.type === 'function_call');
    expect(LookupInput.parse(call.parsed_arguments)).toEqual(JSON.parse(call.arguments));

    let text = '';
    const stream = client.responses.stream(bound).on('response.function_call_arguments.delta', (event) => {
      text += event.delta;
    });
    const streamed = (await stream.finalResponse()).output.filter((item) => item.type === 'function_call');
    expect(streamed).toMatchObject([{ name: TOOL.name, arguments: call.arguments }]);
    expect(text).toBe(call.arguments);

    const answer = await client.responses.create({
      ...ask,
      input: [question, call, { type: 'function_call_output', call_id: call.call_id, output: FOUND }],
      tool_choice: 'none',
      max_output_tokens: 8,
    });
    expect(answer.output_text).not.toBe('');
  });
}

function describeFormats(target: () => SdkTarget): void {
  test('parses answers that are bound to a JSON Schema', async () => {
    const client = openaiClient(target());
    const ask = { ...chatAsk(target()), ...limit, response_format: zodResponseFormat(Entry, 'entry') };
    const { message } = (await client.chat.completions.parse(ask)).choices[0];
    expect(Entry.parse(message.parsed)).toEqual(JSON.parse(message.content!));

    const streamed = await client.chat.completions.stream(ask).finalChatCompletion();
    expect(streamed.choices[0].message.parsed).toEqual(message.parsed);

    const response = await client.responses.parse({
      model: target().model,
      input: QUESTION,
      temperature: 0,
      max_output_tokens: MOST_STRUCTURED_TOKENS,
      text: { format: zodTextFormat(Entry, 'entry') },
    });
    expect(response.output_parsed).toEqual(message.parsed);
  });
}
