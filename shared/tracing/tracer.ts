/** Facts of a span: figures and names of ours, no text of a client's or a model's, and no key. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A span that belongs to no span of this process. */
export interface SpanStart {
  readonly name: string;
  /** Whether it answers a client of this process, or works on what another process has queued. */
  readonly kind: 'server' | 'consumer';
  /** Unix time in milliseconds, as all times of spans. */
  readonly startMs: number;
  /** W3C `traceparent` of the span that it belongs to; null where none is known. One that is none counts as null. */
  readonly parent: string | null;
  readonly attributes: SpanAttributes;
}

/** A piece of work that is traced. It is told when it ends, and not before. */
export interface Span {
  /** Its W3C `traceparent`, for spans of other processes that belong to it. */
  readonly traceparent: string;
  child(name: string, startMs: number, attributes?: SpanAttributes): Span;
  event(name: string, atMs: number): void;
  /** To be called once. @param failure what went wrong, in words of ours; absent where nothing did */
  end(endMs: number, attributes?: SpanAttributes, failure?: string): void;
}

/** Where spans go. Rooms know this interface alone; what implements it is loaded only where traces are asked for. */
export interface Tracer {
  /** @returns null where the trace is not sampled; then nobody is to trace any of it */
  start(start: SpanStart): Span | null;
}
