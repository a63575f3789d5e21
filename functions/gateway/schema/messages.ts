import { z } from 'zod';
import type { ChatMessage, ToolCall } from '../../../shared/protocol/request.ts';
import { CalledFunctions, callArguments, callId } from './called-functions.ts';
import { MAX_CONTENT_PARTS, MAX_MESSAGES, MAX_TOOL_CALLS } from './field-limits.ts';
import { listOf, textOrList, unicodeText, withoutNulls } from './fields.ts';
import { FUNCTION_ONLY, functionName } from './tools.ts';

const textPart = z.object({
  type: z.literal('text', { error: 'must be "text": images, audio and files are not supported' }),
  text: unicodeText,
});

/** Parts become one text, each on lines of its own. */
const content = textOrList(
  unicodeText,
  listOf(textPart, MAX_CONTENT_PARTS, 1).transform((parts) => parts.map(({ text }) => text).join('\n')),
);

const toolCall: z.ZodType<ToolCall> = z.preprocess(
  withoutNulls,
  z.object({
    id: callId,
    type: z.literal('function', FUNCTION_ONLY).default('function'),
    function: z.preprocess(withoutNulls, z.object({ name: functionName, arguments: callArguments })),
  }),
);

const fields = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool'], {
    error: 'must be "system", "developer", "user", "assistant" or "tool"',
  }),
  content: content.optional(),
  tool_calls: listOf(toolCall, MAX_TOOL_CALLS).default([]),
  tool_call_id: callId.optional(),
  name: unicodeText.optional(),
});

const message = z.preprocess(
  withoutNulls,
  fields.transform((given, context): ChatMessage => {
    const { role, content: text, tool_calls: calls, tool_call_id: id, name } = given;
    const refuse = (field: string, problem: string): never => {
      context.addIssue({ code: 'custom', message: problem, path: [field] });
      return z.NEVER;
    };
    if (calls.length > 0 && role !== 'assistant') {
      return refuse('tool_calls', 'must be absent: only an assistant calls tools');
    }
    if (text === undefined && calls.length === 0) return refuse('content', 'is required');
    if (role === 'tool' && id === undefined) return refuse('tool_call_id', 'is required');
    return {
      // `developer` is OpenAI's newer name for `system`, which chat templates do not know.
      role: role === 'developer' ? 'system' : role,
      content: text ?? '',
      ...(name !== undefined && { name }),
      ...(calls.length > 0 && { tool_calls: calls }),
      ...(role === 'tool' && id !== undefined && { tool_call_id: id }),
    };
  }),
);

/** `messages` of a chat completion. */
export const messageList = listOf(message, MAX_MESSAGES, 1);

/**
 * Gives the messages of tools the names of their functions, which chat templates may ask for.
 *
 * @throws {RequestError} 400 where one answers a call that was not made
 */
export function withToolNames(messages: readonly ChatMessage[]): ChatMessage[] {
  const called = new CalledFunctions();
  return messages.map((given, index) => {
    for (const call of given.tool_calls ?? []) called.note(call);
    if (given.tool_call_id === undefined) return given;
    return { ...given, name: called.nameOf(given.tool_call_id, `messages[${index}].tool_call_id`) };
  });
}
