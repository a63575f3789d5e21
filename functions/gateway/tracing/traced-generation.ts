import type { Span } from '../../../shared/tracing/tracer.ts';
import type { Clock } from '../../clock.ts';
import type { GenerationObserver } from '../generation/run.ts';

/** An observer that also traces the reading of the token stream, from its first event to its end. */
export function traceGeneration(
  span: Span | undefined,
  clock: Clock,
  observer: GenerationObserver,
): GenerationObserver {
  if (span === undefined) return observer;
  let stream: Span | undefined;
  return {
    take(events) {
      if (events.length > 0) stream ??= span.child('janus.stream', clock.nowMs());
      observer.take(events);
    },
    ended(error) {
      stream?.end(clock.nowMs());
      observer.ended(error);
    },
  };
}
