import type { ModelCard } from '../../../shared/protocol/member.ts';
import { invalid, type RequestError } from '../errors.ts';
import type { GenerationRequest } from './request.ts';

/** Checks what depends on the model: every token id that a request names is in its vocabulary. */
export function checkTokenIds(request: GenerationRequest, { vocabularySize }: ModelCard): void {
  const outside = (id: number): boolean => id >= vocabularySize;
  const error = (param: string, id: number): RequestError =>
    invalid(param, `Invalid '${param}': token id ${id} is not below the vocabulary size ${vocabularySize}`);

  for (const prompt of request.prompts) {
    const wrong = prompt.kind === 'tokens' ? prompt.ids.find(outside) : undefined;
    if (wrong !== undefined) throw error('prompt', wrong);
  }
  const wrongStop = request.sampling.stopTokenIds.find(outside);
  if (wrongStop !== undefined) throw error('stop_token_ids', wrongStop);
  const wrongBias = request.sampling.logitBias.find(([id]) => outside(id));
  if (wrongBias !== undefined) throw error('logit_bias', wrongBias[0]);
}
