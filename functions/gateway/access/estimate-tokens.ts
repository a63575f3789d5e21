import type { ModelCard } from '../../../shared/protocol/member.ts';
import type { Prompt } from '../../../shared/protocol/request.ts';
import { messageText, toolText } from '../schema/chat-texts.ts';
import type { GenerationRequest } from '../schema/request.ts';

/** UTF-8 bytes of text per token, as OpenAI reckons: the gateway has no tokenizer. */
const BYTES_PER_TOKEN = 4;
/** What a chat template adds to a message. */
const MESSAGE_TOKENS = 4;
/** Tokens of an answer whose client sets no bound. */
const ASSUMED_ANSWER_TOKENS = 256;

const encoder = new TextEncoder();
const textTokens = (text: string): number => Math.ceil(encoder.encode(text).length / BYTES_PER_TOKEN);

/** Tokens of one prompt, by its length. */
export function estimatePromptTokens(prompt: Prompt): number {
  if (prompt.kind === 'tokens') return prompt.ids.length;
  if (prompt.kind === 'text') return textTokens(prompt.text);
  const { messages, tools = [] } = prompt;
  const ofTools = tools.reduce((sum, tool) => sum + textTokens(toolText(tool)), 0);
  return messages.reduce((sum, one) => sum + textTokens(messageText(one)) + MESSAGE_TOKENS, ofTools);
}

/**
 * Tokens that a request takes from its key's limit until it is known how many it used: its prompts, by their length, and
 * for each choice as many as its answer may have.
 */
export function estimateTokens(request: GenerationRequest, { contextLength }: ModelCard): number {
  const choices = request.prompts.length * request.choicesPerPrompt;
  const answerTokens = Math.min(request.maxTokens ?? ASSUMED_ANSWER_TOKENS, contextLength);
  return request.prompts.reduce((sum, prompt) => sum + estimatePromptTokens(prompt), choices * answerTokens);
}
