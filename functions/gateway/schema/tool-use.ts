import type {
  ChatMessage,
  Constraint,
  FunctionTool,
  JsonConstraint,
  Prompt,
} from '../../../shared/protocol/request.ts';
import { CALL_CLOSE } from '../../../shared/protocol/tool-call-text.ts';
import { invalid, shown } from '../errors.ts';
import type { DescribedFunction, ToolChoice } from './tools.ts';

/** What a request says of tools, and of the answer's form beside them. */
export interface ToolFields {
  readonly tools: readonly DescribedFunction[];
  /** Default: the model may call tools, where there are any. */
  readonly choice: ToolChoice | undefined;
  /** Whether an answer may hold more than one call. */
  readonly parallel: boolean;
  /** What an answer that is no call must be. */
  readonly format: JsonConstraint | undefined;
}

/** The same as a generation needs it. */
export interface ToolUse {
  /** What the model is told of. */
  readonly tools: readonly FunctionTool[];
  /** Names of the functions that the answer may call. */
  readonly callable: readonly string[];
  readonly constraint: Constraint | undefined;
  /** Texts that end the answer besides those of the client's. */
  readonly stop: readonly string[];
}

const toolOf = ({ name, description, parameters }: DescribedFunction): FunctionTool => ({
  type: 'function',
  function: { name, ...(description !== undefined && { description }), parameters },
});

const callOf = (functions: readonly DescribedFunction[]) => ({
  kind: 'tool_call' as const,
  functions: functions.map(({ name, parameters }) => ({ name, parameters })),
});

/** @throws {RequestError} 400 where the choice names a tool that is not there */
export function toolUse({ tools, choice = 'auto', parallel, format }: ToolFields): ToolUse {
  const forced = forcedFunctions(tools, choice);
  if (choice === 'none' || tools.length === 0) {
    return { tools: [], callable: [], constraint: format, stop: [] };
  }
  const use = { tools: tools.map(toolOf), callable: tools.map(({ name }) => name), stop: [] };
  if (forced.length > 0) return { ...use, constraint: callOf(forced) };
  if (format !== undefined) return { ...use, constraint: { ...callOf(tools), otherwise: format } };
  // A free answer that may hold one call is over behind it.
  return { ...use, constraint: undefined, stop: parallel ? [] : [CALL_CLOSE] };
}

/** The functions of which the answer must call one; none where it need not. */
function forcedFunctions(
  tools: readonly DescribedFunction[],
  choice: ToolChoice,
): readonly DescribedFunction[] {
  if (choice === 'none' || choice === 'auto') return [];
  if (tools.length === 0) throw invalid('tool_choice', "Invalid 'tool_choice': needs 'tools'");
  if (choice === 'required') return tools;
  const named = tools.filter(({ name }) => name === choice.name);
  if (named.length > 0) return named;
  throw invalid('tool_choice', `Invalid 'tool_choice': '${shown(choice.name)}' is not among the tools`);
}

/** A conversation with what the model is told of tools. */
export const chatPrompt = (messages: readonly ChatMessage[], { tools }: ToolUse): Prompt => ({
  kind: 'chat',
  messages,
  ...(tools.length > 0 && { tools }),
});
