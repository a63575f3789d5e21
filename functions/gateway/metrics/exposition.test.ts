import { expect, test } from 'vitest';
import { exposition } from './exposition.ts';

test('writes families, labels and numbers as Prometheus reads them', () => {
  const text = exposition([
    {
      name: 'janus:things_total',
      help: 'Things, by kind.\nA backslash: \\.',
      type: 'counter',
      samples: [
        { labels: [], value: 3 },
        {
          labels: [
            ['kind', 'say "no"'],
            ['path', 'C:\\new\nline'],
          ],
          value: 0.25,
        },
      ],
    },
    {
      name: 'janus:extremes',
      help: 'Not all numbers are finite.',
      type: 'gauge',
      samples: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1e21, 1e-7].map(
        (value, i) => ({
          labels: [['at', String(i)] as const],
          value,
        }),
      ),
    },
    { name: 'janus:nothing', help: 'Without series.', type: 'gauge', samples: [] },
    {
      name: 'janus:seconds',
      help: 'A histogram.',
      type: 'histogram',
      samples: [
        { suffix: '_bucket', labels: [['le', '+Inf']], value: 1 },
        { suffix: '_sum', labels: [], value: 2 },
        { suffix: '_count', labels: [], value: 1 },
      ],
    },
  ]);
  expect(text).toBe(
    [
      '# HELP janus:things_total Things, by kind.\\nA backslash: \\\\.',
      '# TYPE janus:things_total counter',
      'janus:things_total 3',
      'janus:things_total{kind="say \\"no\\"",path="C:\\\\new\\nline"} 0.25',
      '# HELP janus:extremes Not all numbers are finite.',
      '# TYPE janus:extremes gauge',
      'janus:extremes{at="0"} +Inf',
      'janus:extremes{at="1"} -Inf',
      'janus:extremes{at="2"} NaN',
      'janus:extremes{at="3"} 1e+21',
      'janus:extremes{at="4"} 1e-7',
      '# HELP janus:nothing Without series.',
      '# TYPE janus:nothing gauge',
      '# HELP janus:seconds A histogram.',
      '# TYPE janus:seconds histogram',
      'janus:seconds_bucket{le="+Inf"} 1',
      'janus:seconds_sum 2',
      'janus:seconds_count 1',
      '',
    ].join('\n'),
  );
});
