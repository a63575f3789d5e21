import type { ChatMessage, FunctionTool } from '../../shared/protocol/request.ts';
import { CALL_CLOSE, CALL_OPEN, toolCallText } from '../../shared/protocol/tool-call-text.ts';

const describedTools = (tools: readonly FunctionTool[]): string =>
  [
    'You may call these functions:',
    ...tools.map((tool) => JSON.stringify(tool.function)),
    'To call one, answer in this form:',
    CALL_OPEN,
    '{"name": "<name>", "arguments": <object>}',
    CALL_CLOSE,
  ].join('\n');

const responseText = (content: string): string => `<tool_response>\n${content}\n</tool_response>`;

/**
 * A conversation for a chat template that knows nothing of tools: they are described in the system message, calls are text of
 * the assistant's, and what tools answered is told by the user, those that answer one message together. A conversation
 * without tools stays as it is.
 */
export function spellTools(
  messages: readonly ChatMessage[],
  tools: readonly FunctionTool[],
): readonly ChatMessage[] {
  const spelled: ChatMessage[] = [];
  let isBehindTool = false;
  for (const message of messages) {
    const isTool = message.role === 'tool';
    if (isTool && isBehindTool) {
      const { content } = spelled.pop()!;
      spelled.push({ role: 'user', content: `${content}\n${responseText(message.content)}` });
    } else {
      spelled.push(isTool ? { role: 'user', content: responseText(message.content) } : withCalls(message));
    }
    isBehindTool = isTool;
  }
  if (tools.length === 0) return spelled;
  const described = describedTools(tools);
  const [first, ...rest] = spelled;
  return first?.role === 'system'
    ? [{ ...first, content: `${first.content}\n\n${described}` }, ...rest]
    : [{ role: 'system', content: described }, ...spelled];
}

function withCalls({ tool_calls: calls, ...message }: ChatMessage): ChatMessage {
  if (calls === undefined) return message;
  const texts = calls.map((call) => toolCallText(call.function));
  return { ...message, content: [message.content, ...texts].filter((text) => text !== '').join('\n') };
}
