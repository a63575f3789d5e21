import type { Span, SpanAttributes, Tracer } from '../../shared/tracing/tracer.ts';

/** A span that was told to a {@link RecordingTracer}. */
export interface RecordedSpan {
  readonly name: string;
  /** Name of the span that it belongs to, or what its `parent` was where that is no span of this tracer. */
  readonly parent: string | null;
  readonly startMs: number;
  /** Undefined until it ends. */
  endMs: number | undefined;
  attributes: SpanAttributes;
  failure: string | undefined;
  readonly events: string[];
}

/** A tracer that samples everything and keeps it, in order of beginning. */
export class RecordingTracer implements Tracer {
  readonly spans: RecordedSpan[] = [];

  start({ name, startMs, parent, attributes }: Parameters<Tracer['start']>[0]): Span {
    return this.#record(name, startMs, parent, attributes);
  }

  #record(name: string, startMs: number, parent: string | null, attributes: SpanAttributes): Span {
    const span: RecordedSpan = {
      name,
      parent,
      startMs,
      endMs: undefined,
      attributes,
      failure: undefined,
      events: [],
    };
    this.spans.push(span);
    return {
      traceparent: name,
      child: (child, childStartMs, more = {}) => this.#record(child, childStartMs, name, more),
      event: (event, atMs) => span.events.push(`${event} ${atMs}`),
      end(endMs, more = {}, failure) {
        if (span.endMs !== undefined) throw new Error(`The span ${name} ended twice.`);
        span.endMs = endMs;
        span.attributes = { ...span.attributes, ...more };
        span.failure = failure;
      },
    };
  }
}
