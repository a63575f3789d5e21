import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Context,
  type Span as OtelSpan,
  type Tracer as OtelTracer,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { formatTraceparent, parseTraceparent } from '../../shared/tracing/traceparent.ts';
import type { Span, SpanAttributes, SpanStart } from '../../shared/tracing/tracer.ts';
import type { OpenTracer, TraceSettings } from './open-tracer.ts';

/** Spans that wait to be sent; further ones are dropped. */
const MOST_WAITING_SPANS = 2_048;
/** Spans that are sent together. */
const SPANS_PER_REQUEST = 512;
/** How long a span may wait for others to be sent with. */
const SEND_EVERY_MS = 1_000;
/** Longest time in which the collector may take one request, and requests that it may be at. */
const SEND_LIMIT_MS = 5_000;
const MOST_REQUESTS = 2;
/** Longest wait for the rest at the end. */
const CLOSE_LIMIT_MS = 2_000;

const KINDS = { server: SpanKind.SERVER, consumer: SpanKind.CONSUMER } as const;

class OtlpSpan implements Span {
  readonly #tracer: OtelTracer;
  readonly #span: OtelSpan;

  constructor(tracer: OtelTracer, span: OtelSpan) {
    this.#tracer = tracer;
    this.#span = span;
  }

  get traceparent(): string {
    const { traceId, spanId } = this.#span.spanContext();
    return formatTraceparent({ traceId, spanId, isSampled: true });
  }

  child(name: string, startMs: number, attributes: SpanAttributes = {}): Span {
    const below = trace.setSpan(ROOT_CONTEXT, this.#span);
    return new OtlpSpan(
      this.#tracer,
      this.#tracer.startSpan(name, { startTime: startMs, attributes }, below),
    );
  }

  event(name: string, atMs: number): void {
    this.#span.addEvent(name, atMs);
  }

  end(endMs: number, attributes: SpanAttributes = {}, failure?: string): void {
    this.#span.setAttributes(attributes);
    if (failure !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
    this.#span.end(endMs);
  }
}

/** The place in a trace that a caller named; a trace of its own where that is none. */
function contextOf(parent: string | null): Context {
  const place = parent === null ? null : parseTraceparent(parent);
  if (place === null) return ROOT_CONTEXT;
  const { traceId, spanId, isSampled } = place;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

/** An exporter that tells of the first of several failures in a row. */
function telling(exporter: SpanExporter, log: (line: string) => void): SpanExporter {
  let isFailing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const { error } = result;
        if (error !== undefined && !isFailing) log(`Traces cannot be sent: ${error.message}`);
        isFailing = error !== undefined;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

/** Spans by OpenTelemetry, sent to a collector in batches. A span that is not sampled costs its decision, no more. */
export function createOtlpTracer(
  { endpoint, sampleRatio }: TraceSettings,
  service: string,
  log: (line: string) => void,
): OpenTracer {
  const exporter = new OTLPTraceExporter({
    url: endpoint,
    timeoutMillis: SEND_LIMIT_MS,
    concurrencyLimit: MOST_REQUESTS,
  });
  const processor = new BatchSpanProcessor({
    exporter: telling(exporter, log),
    maxQueueSize: MOST_WAITING_SPANS,
    maxExportBatchSize: SPANS_PER_REQUEST,
    scheduledDelayMillis: SEND_EVERY_MS,
    exportTimeoutMillis: SEND_LIMIT_MS,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer('janus');

  return {
    start({ name, kind, startMs, parent, attributes }: SpanStart): Span | null {
      const options = { kind: KINDS[kind], startTime: startMs, attributes };
      const span = tracer.startSpan(name, options, contextOf(parent));
      return span.isRecording() ? new OtlpSpan(tracer, span) : null;
    },
    async close() {
      // What cannot be sent was told of already.
      const sent = provider.shutdown().catch(() => {});
      await Promise.race([sent, sleep(CLOSE_LIMIT_MS, undefined, { ref: false })]);
    },
  };
}
