import type { ToolCall } from './request.ts';

/** How a model writes that it calls a function: the form that Hermes and Qwen models were trained on. */
export const CALL_OPEN = '<tool_call>';
export const CALL_CLOSE = '</tool_call>';

/** The text of a call around the function's name and its arguments. */
export const BEFORE_NAME = `${CALL_OPEN}\n{"name": "`;
export const BEFORE_ARGUMENTS = '", "arguments": ';
export const BEHIND_ARGUMENTS = `}\n${CALL_CLOSE}`;

/** A call as the model would have written it; its name needs no escapes. */
export const toolCallText = ({ name, arguments: values }: ToolCall['function']): string =>
  BEFORE_NAME + name + BEFORE_ARGUMENTS + JSON.stringify(values) + BEHIND_ARGUMENTS;
