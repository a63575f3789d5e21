import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { GenerationRequest } from '../schema/request.ts';

/** What the jobs of one request have in common. */
type CommonField =
  | 'requestId'
  | 'model'
  | 'acceptedAtMs'
  | 'deadlineAtMs'
  | 'isDeferrable'
  | 'trace'
  | 'doorbell';

export interface JobIdentity extends Pick<SequenceJob, CommonField> {
  /** Draws the seed of a sequence whose client gave none. */
  readonly drawSeed: () => number;
}

/**
 * One job per choice. The choices of one prompt get seeds in a row, so that a seeded request repeats as a whole while
 * its choices differ; a prompt's answers do not depend on which other prompts stand beside it.
 */
export function sequenceJobs(request: GenerationRequest, identity: JobIdentity): SequenceJob[] {
  const { drawSeed, ...common } = identity;
  const { choicesPerPrompt, sampling, seed, maxTokens, constraint } = request;
  return request.prompts.flatMap((prompt, promptIndex) =>
    Array.from({ length: choicesPerPrompt }, (_, index) => ({
      ...common,
      choice: promptIndex * choicesPerPrompt + index,
      prompt,
      sampling: { ...sampling, seed: seed === null ? drawSeed() : (seed + index) % 2 ** 32 },
      ...(constraint && { constraint }),
      maxTokens,
    })),
  );
}
