import type { Tracer } from '../../shared/tracing/tracer.ts';

/** Where traces are sent, and how many. */
export interface TraceSettings {
  /** Address of an OTLP collector that takes JSON over HTTP, with the path for traces. */
  readonly endpoint: string;
  /** Share of traces, from 0 to 1, among those that no caller has decided about. */
  readonly sampleRatio: number;
}

export interface OpenTracer extends Tracer {
  /** Sends what is still here, within a bound. */
  close(): Promise<void>;
}

/**
 * Opens the way to a collector. OpenTelemetry is loaded here and nowhere else, and only where there is a collector.
 *
 * @param settings null: nothing is traced
 * @param service name under which the collector knows this process, unless `OTEL_SERVICE_NAME` says another
 * @param log told when spans cannot be sent
 */
export async function openTracer(
  settings: TraceSettings | null,
  service: string,
  log: (line: string) => void,
): Promise<OpenTracer | null> {
  if (settings === null) return null;
  const { createOtlpTracer } = await import('./otlp-tracer.ts');
  return createOtlpTracer(settings, process.env.OTEL_SERVICE_NAME || service, log);
}
