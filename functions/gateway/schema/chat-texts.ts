import type { ChatMessage, FunctionTool } from '../../../shared/protocol/request.ts';

/** What a message puts into its prompt, nearly: its content and its calls. */
export const messageText = ({ content, tool_calls: calls = [] }: ChatMessage): string =>
  content + calls.map((call) => JSON.stringify(call.function)).join('');

/** What the description of a tool puts into a prompt, nearly. */
export const toolText = (tool: FunctionTool): string => JSON.stringify(tool);
