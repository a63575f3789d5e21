import type { ModelConfig } from '../../shared/model/config.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { RequestFailure } from '../../shared/protocol/token-event.ts';
import { encodePrompt } from '../tokenizer/encode-prompt.ts';
import type { ModelTokenizer } from '../tokenizer/model-tokenizer.ts';
import { invalidRequest } from './failure.ts';

/** A prompt as token ids with the room its answer may take, or why it cannot be served. */
export type Admission =
  | { readonly promptIds: readonly number[]; readonly maxTokens: number }
  | { readonly failure: RequestFailure };

/** Turns a job's prompt into token ids and checks it against the model's context. */
export function admit(job: SequenceJob, config: ModelConfig, tokenizer: ModelTokenizer): Admission {
  const param = job.prompt.kind === 'chat' ? 'messages' : 'prompt';
  let promptIds: readonly number[];
  try {
    promptIds = encodePrompt(job.prompt, tokenizer);
  } catch (error) {
    return { failure: invalidRequest(param, error instanceof Error ? error.message : String(error)) };
  }
  if (promptIds.length === 0)
    return { failure: invalidRequest(param, 'The prompt is empty: give at least one token.') };
  const unknown = promptIds.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabularySize);
  if (unknown !== undefined) {
    return {
      failure: invalidRequest(
        param,
        `Token id ${unknown} is not below the vocabulary size ${config.vocabularySize}.`,
      ),
    };
  }
  const room = config.contextLength - promptIds.length;
  const maxTokens = job.maxTokens ?? room;
  if (room < 1 || maxTokens > room) {
    const asked = job.maxTokens === null ? '' : ` and ${job.maxTokens} in the answer`;
    return {
      failure: invalidRequest(
        room < 1 ? param : 'max_tokens',
        `This model's maximum context length is ${config.contextLength} tokens. You asked for ${promptIds.length} tokens in ` +
          `the prompt${asked}. Shorten the ${room < 1 ? 'prompt' : 'prompt or lower max_tokens'}.`,
        'context_length_exceeded',
      ),
    };
  }
  return { promptIds, maxTokens };
}
