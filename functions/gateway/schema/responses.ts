import { z } from 'zod';
import type { ChatMessage } from '../../../shared/protocol/request.ts';
import { invalid } from '../errors.ts';
import { MAX_INCLUDES, MAX_TOP_LOGPROBS } from './field-limits.ts';
import { commonFields, listOf, unicodeText, withoutNulls } from './fields.ts';
import { conversationOf, inputItems } from './input-items.ts';
import { metadataOf } from './metadata.ts';
import { parseFields } from './parse.ts';
import { type GenerationRequest, generationRequest } from './request.ts';
import { constraintOf, textFormat } from './response-format.ts';
import { chatPrompt, toolUse } from './tool-use.ts';
import {
  type DescribedFunction,
  parallelToolCalls,
  responseToolChoice,
  responseTools,
  type ToolChoice,
} from './tools.ts';
import type { Unsupported } from './unsupported.ts';

export const responsesSchema = z.object({
  ...commonFields,
  input: inputItems.describe('A text, or the conversation so far.'),
  instructions: unicodeText.optional().describe('A system message before the input.'),
  max_output_tokens: z.int().min(1).optional().describe('Largest number of tokens of the answer.'),
  top_logprobs: z
    .int()
    .min(0)
    .max(MAX_TOP_LOGPROBS)
    .optional()
    .describe('Tells the log probability of each token, and of so many alternatives.'),
  text: z.preprocess(withoutNulls, z.object({ format: textFormat })).optional(),
  tools: responseTools.describe('Functions that the answer may call.'),
  tool_choice: responseToolChoice.describe('Whether the answer must call one, and which.'),
  parallel_tool_calls: parallelToolCalls,
  include: listOf(z.string(), MAX_INCLUDES)
    .default([])
    .describe('`message.output_text.logprobs` tells the log probability of each token.'),
  metadata: metadataOf(z.string(), unicodeText)
    .default({})
    .describe('Names and texts of your own; the answer repeats them.'),
});

/** What this API names otherwise than the completions do, or has beyond them. */
const UNSUPPORTED: readonly Unsupported[] = [
  ['previous_response_id', () => true, 'answers are not kept: send the whole conversation as input'],
  ['conversation', () => true, 'answers are not kept: send the whole conversation as input'],
  ['background', (value) => value !== false, 'use the batch API for what nobody waits for'],
  ['prompt', () => true, 'stored prompts are not supported: send instructions and input'],
  ['truncation', (value) => value !== 'disabled', 'only "disabled" is supported'],
  ['response_format', () => true, 'this API has it at text.format'],
];

const LOGPROBS = 'message.output_text.logprobs';

/** A tool as the answer repeats it. */
const describedTool = ({ name, description, parameters, strict }: DescribedFunction) => ({
  type: 'function',
  name,
  description: description ?? null,
  parameters,
  strict: strict ?? null,
});

const choiceOf = (choice: ToolChoice = 'auto') =>
  typeof choice === 'string' ? choice : { type: 'function', ...choice };

/**
 * @param body parsed JSON of `POST /v1/responses`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseResponses(body: unknown): GenerationRequest {
  const fields = parseFields(responsesSchema, body, UNSUPPORTED);
  const { instructions, max_output_tokens: maxTokens = null } = fields;
  const system: ChatMessage[] = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
  const wantsLogprobs = fields.include.includes(LOGPROBS) || fields.top_logprobs !== undefined;
  if (fields.n > 1) throw invalid('n', "Invalid 'n': a response has one output");
  const use = toolUse({
    tools: fields.tools,
    choice: fields.tool_choice,
    parallel: fields.parallel_tool_calls,
    format: constraintOf(fields.text?.format),
  });
  const request = generationRequest(fields, {
    prompts: [chatPrompt([...system, ...conversationOf(fields.input)], use)],
    maxTokens,
    topLogprobs: wantsLogprobs ? (fields.top_logprobs ?? 0) : null,
    constraint: use.constraint,
    callable: use.callable,
    stop: use.stop,
  });
  return {
    ...request,
    echo: {
      ...request.echo,
      instructions: instructions ?? null,
      max_output_tokens: maxTokens,
      metadata: fields.metadata,
      text: { format: fields.text?.format ?? { type: 'text' } },
      temperature: fields.temperature,
      top_p: fields.top_p,
      tools: fields.tools.map(describedTool),
      tool_choice: choiceOf(fields.tool_choice),
      parallel_tool_calls: fields.parallel_tool_calls,
    },
  };
}
