import type { Tracer } from '../../../shared/tracing/tracer.ts';
import type { Clock } from '../../clock.ts';
import { toRequestError } from '../../gateway/errors.ts';
import type { Usage } from '../../gateway/generation/journal.ts';
import type { LineRun } from './answer-line.ts';

/** What traces lines. */
export interface LineTracing {
  /** Null or absent: nobody asked for traces. */
  readonly tracer?: Tracer | null;
  readonly clock: Clock;
}

/** An attempt at a line. */
export type TracedLine = Pick<LineRun, 'batch' | 'line' | 'signal'> & { readonly requestId: string };

/**
 * Traces one attempt at a line, as a trace of its own: no request waits for it that it could belong to.
 *
 * @param work is given the `traceparent` for the spans of the pool; undefined where the attempt is not sampled
 */
export async function traceLine<Answer extends { readonly usage: Usage }>(
  { tracer, clock }: LineTracing,
  { batch, line, signal, requestId }: TracedLine,
  work: (traceparent: string | undefined) => Promise<Answer>,
): Promise<Answer> {
  const span = tracer?.start({
    name: 'janus.batch_line',
    kind: 'consumer',
    startMs: clock.nowMs(),
    parent: null,
    attributes: {
      'janus.request_id': requestId,
      'janus.batch_id': batch.id,
      'janus.batch_line': line.number,
      'janus.model': line.model,
    },
  });
  if (!span) return work(undefined);
  try {
    const answer = await work(span.traceparent);
    const { prompt_tokens, completion_tokens } = answer.usage;
    span.end(clock.nowMs(), {
      'janus.prompt_tokens': prompt_tokens,
      'janus.completion_tokens': completion_tokens,
    });
    return answer;
  } catch (error) {
    // What went wrong is reported by whoever decides whether the line is tried again.
    const { status } = toRequestError(error, () => {}).failure;
    span.end(clock.nowMs(), {}, signal.aborted ? 'broken off' : `status ${status}`);
    throw error;
  }
}
