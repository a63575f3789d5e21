import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exposition } from './exposition.ts';
import { createCounter, createHistogram, MOST_SERIES, OTHER } from './series.ts';

const head = { name: 'm', help: 'A metric.', labels: ['model_name'] };

describe('a counter', () => {
  test('adds up by its labels, and never falls', () => {
    const metric = createCounter(head);
    const kept = metric.of('a');
    kept.add(2);
    metric.of('b').add(0.5);
    metric.of('a').add(3);
    kept.add(-1);
    expect(exposition([metric.family()])).toBe(
      '# HELP m A metric.\n# TYPE m counter\nm{model_name="a"} 5\nm{model_name="b"} 0.5\n',
    );
  });

  test('tells labels apart that look the same when joined', () => {
    const metric = createCounter({ ...head, labels: ['one', 'two'] });
    metric.of('a,b', 'c').add(1);
    metric.of('a', 'b,c').add(1);
    expect(metric.family().samples.map(({ value }) => value)).toEqual([1, 1]);
  });

  test('has a bound on its series: further ones share one', () => {
    const metric = createCounter(head);
    for (let i = 0; i < MOST_SERIES + 50; i++) metric.of(`model-${i}`).add(1);
    metric.of('model-0').add(1);
    const { samples } = metric.family();
    expect(samples.length).toBe(MOST_SERIES + 1);
    expect(samples[0]).toEqual({ labels: [['model_name', 'model-0']], value: 2 });
    expect(samples.at(-1)).toEqual({ labels: [['model_name', OTHER]], value: 50 });
  });
});

describe('a histogram', () => {
  test('counts a value that lies on a bound below it', () => {
    const metric = createHistogram(head, [0.1, 1, 2.5]);
    const series = metric.of('a');
    series.observe(0.1);
    series.observe(1.5, 2);
    series.observe(100);
    series.observe(-1);
    expect(exposition([metric.family()])).toBe(
      [
        '# HELP m A metric.',
        '# TYPE m histogram',
        'm_bucket{model_name="a",le="0.1"} 2',
        'm_bucket{model_name="a",le="1"} 2',
        'm_bucket{model_name="a",le="2.5"} 4',
        'm_bucket{model_name="a",le="+Inf"} 5',
        'm_sum{model_name="a"} 103.1',
        'm_count{model_name="a"} 5',
        '',
      ].join('\n'),
    );
  });

  test('is cumulative, and its buckets hold exactly what is not above their bounds', () => {
    const bounds = fc.uniqueArray(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 20 });
    const values = fc.array(fc.tuple(fc.integer({ min: 0, max: 1_200 }), fc.integer({ min: 0, max: 3 })));
    fc.assert(
      fc.property(bounds, values, (unordered, observed) => {
        const ascending = unordered.toSorted((a, b) => a - b);
        const metric = createHistogram(head, ascending);
        for (const [value, times] of observed) metric.of('a').observe(value, times);
        if (observed.length === 0) metric.of('a');

        const { samples } = metric.family();
        const of = (suffix: string) => samples.filter((sample) => sample.suffix === suffix);
        const held = (bound: number) =>
          observed.reduce((sum, [value, times]) => sum + (value <= bound ? times : 0), 0);
        const buckets = of('_bucket').map(({ value }) => value);
        expect(buckets).toEqual([...ascending, Number.POSITIVE_INFINITY].map(held));
        expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
        expect(of('_count')[0]!.value).toBe(buckets.at(-1));
        expect(of('_sum')[0]!.value).toBe(observed.reduce((sum, [value, times]) => sum + value * times, 0));
      }),
    );
  });
});
