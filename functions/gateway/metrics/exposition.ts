/** Type of what `exposition` writes: the text format of Prometheus, version 0.0.4. */
export const EXPOSITION_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export type Label = readonly [name: string, value: string];

/** One line of a metric. */
export interface Sample {
  readonly labels: readonly Label[];
  readonly value: number;
  /** What stands behind the metric's name; only histograms have any. */
  readonly suffix?: '_bucket' | '_sum' | '_count';
}

/** All lines of one metric. */
export interface MetricFamily {
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');

/** A number as the format spells it; buckets' bounds are written so, too. */
export function formatNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

const formatLabels = (labels: readonly Label[]): string =>
  labels.length === 0
    ? ''
    : `{${labels.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(',')}}`;

function formatFamily({ name, help, type, samples }: MetricFamily): string {
  const lines = samples.map(
    ({ suffix = '', labels, value }) => `${name}${suffix}${formatLabels(labels)} ${formatNumber(value)}\n`,
  );
  return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** The families as Prometheus reads them, in the given order. */
export const exposition = (families: readonly MetricFamily[]): string => families.map(formatFamily).join('');
