import { formatNumber, type Label, type MetricFamily, type Sample } from './exposition.ts';

/** Series of one metric; label values beyond that share the series whose labels are all `OTHER`. */
export const MOST_SERIES = 1_000;
export const OTHER = 'other';

/** One series of a counter. */
export interface Counter {
  /** @param amount nothing below 0 counts, since a counter never falls */
  readonly add: (amount: number) => void;
}

/** One series of a histogram. */
export interface Histogram {
  /** Counts `value` so many times. One below 0, as a clock gives that was set back, counts as 0. */
  readonly observe: (value: number, times?: number) => void;
}

/** One metric and its series. */
export interface Metric<Series> {
  /** The series with these values of the metric's labels, in their order. Keep it for as long as it is written to. */
  readonly of: (...values: readonly string[]) => Series;
  readonly family: () => MetricFamily;
}

export interface MetricHead {
  readonly name: string;
  readonly help: string;
  /** Names of the labels. */
  readonly labels: readonly string[];
}

/** A series and how to read it. */
interface ReadableSeries<Series> {
  readonly series: Series;
  readonly samples: (labels: readonly Label[]) => readonly Sample[];
}

function createMetric<Series>(
  { name, help, labels }: MetricHead,
  type: MetricFamily['type'],
  create: () => ReadableSeries<Series>,
): Metric<Series> {
  const known = new Map<string, ReadableSeries<Series> & { readonly values: readonly string[] }>();

  const find = (values: readonly string[]): Series => {
    const key = JSON.stringify(values);
    const found = known.get(key);
    if (found !== undefined) return found.series;
    if (known.size >= MOST_SERIES && values.some((value) => value !== OTHER)) {
      return find(values.map(() => OTHER));
    }
    const created = { ...create(), values };
    known.set(key, created);
    return created.series;
  };

  return {
    of: (...values) => find(values),
    family: () => ({
      name,
      help,
      type,
      samples: [...known.values()].flatMap(({ samples, values }) =>
        samples(labels.map((label, position): Label => [label, values[position]!])),
      ),
    }),
  };
}

function createCounterSeries(): ReadableSeries<Counter> {
  let total = 0;
  return {
    series: {
      add(amount) {
        if (amount > 0) total += amount;
      },
    },
    samples: (labels) => [{ labels, value: total }],
  };
}

function createHistogramSeries(bounds: readonly number[]): ReadableSeries<Histogram> {
  // One place more than there are bounds, for what is above all of them.
  const counts = new Float64Array(bounds.length + 1);
  let sum = 0;

  const samples = (labels: readonly Label[]): Sample[] => {
    let count = 0;
    const buckets = [...bounds, Number.POSITIVE_INFINITY].map((bound, position): Sample => {
      count += counts[position]!;
      return { suffix: '_bucket', labels: [...labels, ['le', formatNumber(bound)]], value: count };
    });
    return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: count }];
  };

  return {
    series: {
      observe(value, times = 1) {
        const counted = Math.max(0, value);
        let bucket = 0;
        while (bucket < bounds.length && counted > bounds[bucket]!) bucket += 1;
        counts[bucket]! += times;
        sum += counted * times;
      },
    },
    samples,
  };
}

export const createCounter = (head: MetricHead): Metric<Counter> =>
  createMetric(head, 'counter', createCounterSeries);

/** @param bounds upper bounds of the buckets, ascending; one more holds what is above the last */
export const createHistogram = (head: MetricHead, bounds: readonly number[]): Metric<Histogram> =>
  createMetric(head, 'histogram', () => createHistogramSeries(bounds));
