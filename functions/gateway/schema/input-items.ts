import { z } from 'zod';
import type { ChatMessage, ToolCall } from '../../../shared/protocol/request.ts';
import { CalledFunctions, callArguments, callId } from './called-functions.ts';
import { MAX_CONTENT_PARTS, MAX_MESSAGES } from './field-limits.ts';
import { listOf, textOrList, unicodeText, withoutNulls } from './fields.ts';
import { functionName } from './tools.ts';

const part = z.object({
  type: z.enum(['input_text', 'output_text', 'text'], {
    error: 'must be "input_text" or "output_text": images, audio and files are not supported',
  }),
  text: unicodeText,
});

/** Parts become one text, each on lines of its own. */
const content = textOrList(
  unicodeText,
  listOf(part, MAX_CONTENT_PARTS, 1).transform((parts) => parts.map(({ text }) => text).join('\n')),
);

const message = z.object({
  type: z.literal('message'),
  role: z.enum(['system', 'developer', 'user', 'assistant'], {
    error: 'must be "system", "developer", "user" or "assistant"',
  }),
  content,
});

const functionCall = z.object({
  type: z.literal('function_call'),
  call_id: callId,
  name: functionName,
  arguments: callArguments,
});

const functionCallOutput = z.object({
  type: z.literal('function_call_output'),
  call_id: callId,
  output: content,
});

const items = z.discriminatedUnion('type', [message, functionCall, functionCallOutput], {
  error: 'must be "message", "function_call" or "function_call_output": other items are not supported',
});

type Item = z.infer<typeof items>;

/** An item without a type is a message. */
const withType = (value: unknown): unknown => {
  const fields = withoutNulls(value);
  return typeof fields === 'object' && fields !== null && !Array.isArray(fields)
    ? { type: 'message', ...fields }
    : fields;
};

/** `input` of the Responses API: a text is a message of the user's. */
export const inputItems = textOrList(
  unicodeText
    .min(1, 'must not be empty')
    .transform((text): Item[] => [{ type: 'message', role: 'user', content: text }]),
  listOf(z.preprocess(withType, items), MAX_MESSAGES, 1),
);

/**
 * The items as chat templates know them: an assistant's message and the calls behind it are one message.
 *
 * @throws {RequestError} 400 where an output answers a call that was not made
 */
export function conversationOf(given: readonly Item[]): ChatMessage[] {
  const called = new CalledFunctions();
  const messages: ChatMessage[] = [];
  for (const [index, item] of given.entries()) {
    if (item.type === 'message') {
      const role = item.role === 'developer' ? 'system' : item.role;
      messages.push({ role, content: item.content });
    } else if (item.type === 'function_call') {
      const call = callOf(item);
      called.note(call);
      const isSpeaking = messages.at(-1)?.role === 'assistant';
      const speaking: ChatMessage = isSpeaking ? messages.pop()! : { role: 'assistant', content: '' };
      messages.push({ ...speaking, tool_calls: [...(speaking.tool_calls ?? []), call] });
    } else {
      const name = called.nameOf(item.call_id, `input[${index}].call_id`);
      messages.push({ role: 'tool', content: item.output, tool_call_id: item.call_id, name });
    }
  }
  return messages;
}

const callOf = (item: z.infer<typeof functionCall>): ToolCall => ({
  id: item.call_id,
  type: 'function',
  function: { name: item.name, arguments: item.arguments },
});
