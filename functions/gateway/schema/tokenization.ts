import { z } from 'zod';
import type { TokenizationQuestion } from '../../../shared/protocol/tokenization.ts';
import { invalid } from '../errors.ts';
import { chatSchema, parseChat } from './chat.ts';
import { commonFields, listOf, tokenId, unicodeText } from './fields.ts';
import { parseFields } from './parse.ts';
import type { Unsupported } from './unsupported.ts';

/** A valid question to a tokenizer. */
export interface TokenizerRequest {
  /** Absent where the address may name the model. */
  readonly model: string | undefined;
  readonly question: TokenizationQuestion;
  /** The field that holds what is asked about. */
  readonly param: string;
}

const { model } = commonFields;
const { messages, tools } = chatSchema.shape;

/** Names and defaults are vLLM's. */
export const tokenizeSchema = z.object({
  model,
  prompt: unicodeText.optional().describe('A text. Either it or `messages` must be given.'),
  messages: messages
    .optional()
    .describe('A conversation, which becomes what a chat completion would compute.'),
  tools: tools.describe('The tools that a chat completion would be given.'),
  add_special_tokens: z
    .boolean()
    .optional()
    .describe('Adds the tokens that stand around a text. Default: true for `prompt`, false for `messages`.'),
  add_generation_prompt: z
    .boolean()
    .default(true)
    .describe("Whether a conversation ends with the beginning of the assistant's answer."),
  return_token_strs: z
    .boolean()
    .default(false)
    .describe('Tells each token as the vocabulary spells it, too.'),
});

const hasFields = (value: unknown): boolean =>
  typeof value !== 'object' || value === null || Object.keys(value).length > 0;

/** What else vLLM takes, and what would change the tokens. */
const UNSUPPORTED: readonly Unsupported[] = [
  ['chat_template', () => true, "only the model's own chat template is supported"],
  ['chat_template_kwargs', hasFields, 'arguments of chat templates are not supported'],
  ['continue_final_message', (value) => value !== false, 'going on with a message is not supported'],
];

/**
 * @param body parsed JSON of `POST /tokenize`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseTokenize(body: unknown): TokenizerRequest {
  const fields = parseFields(tokenizeSchema, body, UNSUPPORTED);
  const isChat = fields.messages !== undefined;
  if (!isChat && fields.prompt === undefined) {
    throw invalid('prompt', "Invalid 'prompt': is required, unless there are 'messages'");
  }
  if (isChat && fields.prompt !== undefined) {
    throw invalid('messages', "Invalid 'messages': give either them or 'prompt'");
  }
  const [prompt] = isChat
    ? parseChat(chatOf(body)).prompts
    : [{ kind: 'text' as const, text: fields.prompt! }];
  return {
    model: fields.model,
    question: {
      kind: 'tokenize',
      prompt,
      addSpecialTokens: fields.add_special_tokens ?? !isChat,
      addGenerationPrompt: fields.add_generation_prompt,
      withTokenTexts: fields.return_token_strs,
    },
    param: isChat ? 'messages' : 'prompt',
  };
}

/** What a chat completion would be sent, so that its prompt is the same. */
function chatOf(body: unknown): object {
  const { messages: conversation, tools: described } = body as Record<string, unknown>;
  return { messages: conversation, ...(described != null && { tools: described }) };
}

/** As vLLM has it. */
export const detokenizeSchema = z.object({
  model,
  tokens: listOf(tokenId, Number.POSITIVE_INFINITY).describe('Token ids.'),
});

/**
 * @param body parsed JSON of `POST /detokenize`
 * @throws {RequestError} 400, naming the field that is wrong
 */
export function parseDetokenize(body: unknown): TokenizerRequest {
  const fields = parseFields(detokenizeSchema, body);
  return { model: fields.model, question: { kind: 'detokenize', ids: fields.tokens }, param: 'tokens' };
}
