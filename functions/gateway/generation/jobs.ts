import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { GenerationRequest } from '../schema/request.ts';

export interface JobIdentity {
  readonly requestId: string;
  readonly model: string;
  readonly acceptedAtMs: number;
  /** Draws the seed of a sequence whose client gave none. */
  readonly drawSeed: () => number;
}

/**
 * One job per choice. The choices of one prompt get seeds in a row, so that a seeded request repeats as a whole while
 * its choices differ; a prompt's answers do not depend on which other prompts stand beside it.
 */
export function sequenceJobs(request: GenerationRequest, identity: JobIdentity): SequenceJob[] {
  const { requestId, model, acceptedAtMs, drawSeed } = identity;
  const { choicesPerPrompt, sampling, seed, maxTokens, constraint } = request;
  return request.prompts.flatMap((prompt, promptIndex) =>
    Array.from({ length: choicesPerPrompt }, (_, index) => ({
      requestId,
      model,
      choice: promptIndex * choicesPerPrompt + index,
      prompt,
      sampling: { ...sampling, seed: seed === null ? drawSeed() : (seed + index) % 2 ** 32 },
      ...(constraint && { constraint }),
      maxTokens,
      acceptedAtMs,
    })),
  );
}
