import type { Prompt } from '../../shared/protocol/request.ts';
import type { ModelTokenizer } from './model-tokenizer.ts';

export interface PromptEncoding {
  /** Default: what generations do; a bare text gets the tokens around it, a chat has them from its template. */
  readonly addSpecialTokens?: boolean;
  /** Default: true. */
  readonly addGenerationPrompt?: boolean;
}

/** Token ids of a prompt, as the model is given them. @throws JanusError when the tokenizer or the chat template refuses it */
export function encodePrompt(
  prompt: Prompt,
  tokenizer: ModelTokenizer,
  { addSpecialTokens = prompt.kind === 'text', addGenerationPrompt = true }: PromptEncoding = {},
): readonly number[] {
  if (prompt.kind === 'tokens') return prompt.ids;
  if (prompt.kind === 'text') return tokenizer.encode(prompt.text, { addSpecialTokens });
  const { messages, tools = [] } = prompt;
  return tokenizer.encode(tokenizer.renderChat(messages, { addGenerationPrompt, tools }), {
    addSpecialTokens,
  });
}
