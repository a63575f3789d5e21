import type { Command } from 'commander';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { TraceSettings } from '../../tracing/open-tracer.ts';

const DEFAULT_SAMPLE_RATIO = 0.01;
/** Where collectors take traces, below the address by which OpenTelemetry names them. */
const TRACES_PATH = '/v1/traces';
/** OpenTelemetry's own variable for that address. */
const ENDPOINT_VARIABLE = 'OTEL_EXPORTER_OTLP_ENDPOINT';

export interface TraceFlags {
  readonly traceEndpoint?: string;
  readonly traceSample?: number;
}

/** Adds where traces go and how many; without an address there are none. */
export function addTraceOptions(command: Command): Command {
  return command
    .option(
      '--trace-endpoint <url>',
      `OTLP collector that gets traces as JSON over HTTP (default: ${ENDPOINT_VARIABLE}; without it nothing is traced)`,
      (text) => tracesUrl('--trace-endpoint', text),
    )
    .option(
      '--trace-sample <ratio>',
      `share of requests that are traced, where their traceparent does not decide (default: ${DEFAULT_SAMPLE_RATIO})`,
      parseRatio,
    );
}

/** @throws JanusError naming what is wrong */
export function toTraceSettings(
  { traceEndpoint, traceSample }: TraceFlags,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): TraceSettings | null {
  const named = environment[ENDPOINT_VARIABLE];
  const endpoint = traceEndpoint ?? (named ? tracesUrl(ENDPOINT_VARIABLE, named) : undefined);
  if (endpoint !== undefined) return { endpoint, sampleRatio: traceSample ?? DEFAULT_SAMPLE_RATIO };
  if (traceSample === undefined) return null;
  throw new JanusError(
    `--trace-sample says how many traces are sent, but not where to: give --trace-endpoint or ${ENDPOINT_VARIABLE} too.`,
  );
}

/** Address for traces of a collector, which is named with or without their path. */
function tracesUrl(from: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new JanusError(`${from} is no HTTP address; give for example http://127.0.0.1:4318.`);
  }
  if (!url.pathname.endsWith(TRACES_PATH)) url.pathname = url.pathname.replace(/\/?$/, TRACES_PATH);
  return url.href;
}

function parseRatio(text: string): number {
  const ratio = /^\d{0,9}\.?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (ratio >= 0 && ratio <= 1) return ratio;
  throw new JanusError(
    `--trace-sample is ${JSON.stringify(text)}; give a number from 0 to 1, for example 0.05.`,
  );
}
