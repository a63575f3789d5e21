import type { Prompt } from '../../../shared/protocol/request.ts';
import { invalid } from '../errors.ts';
import { messageText, toolText } from './chat-texts.ts';
import type { GenerationRequest } from './request.ts';

/** UTF-16 units of text, tools among it; a token id counts as one. */
function promptSize(prompt: Prompt): number {
  if (prompt.kind === 'tokens') return prompt.ids.length;
  if (prompt.kind === 'text') return prompt.text.length;
  const texts = [...prompt.messages.map(messageText), ...(prompt.tools ?? []).map(toolText)];
  return texts.reduce((sum, { length }) => sum + length, 0);
}

/**
 * @param limit largest size of all prompts of a request together, in characters or token ids
 * @param param field that holds the prompts
 * @throws {RequestError} 400 when they are larger
 */
export function checkPromptSize(
  { prompts }: Pick<GenerationRequest, 'prompts'>,
  limit: number,
  param: string,
): void {
  const size = prompts.reduce((sum, prompt) => sum + promptSize(prompt), 0);
  if (size <= limit) return;
  const message = `Invalid '${param}': holds ${size} characters or token ids in all, and at most ${limit} are taken`;
  throw invalid(param, message, 'string_above_max_length');
}
