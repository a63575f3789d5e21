import { describe, expect, it } from 'vitest';
import { formatCount, formatProgress, ProgressView } from './progress-view.ts';

it.each([
  [0, '0'],
  [999, '999'],
  [1_000, '1.00 k'],
  [999_499, '999 k'],
  [999_500, '1.00 M'],
  [1_734_000_000, '1.73 G'],
])('formatCount shows %d as %s', (count, text) => expect(formatCount(count)).toBe(text));

it('formatProgress gives the time left at the mean rate', () => {
  expect(formatProgress(430e6, 1_730e6, 20_000)).toBe(' 24%  430 M of 1.73 G weights, 21.5 M/s, 1:01 left');
});

it.each([
  ['nothing was done yet', 40, 40, '  4%  40 of 1.00 k requests'],
  ['some was', 340, 40, ' 34%  340 of 1.00 k requests, 15/s, 0:44 left'],
  ['little was', 50, 40, '  5%  50 of 1.00 k requests, 30/min, 31:40 left'],
])('formatProgress gives the rate since the view began, where %s', (_, done, before, text) =>
  expect(formatProgress(done, 1_000, 20_000, 'requests', before)).toBe(text),
);

describe('ProgressView', () => {
  function watch(isTTY: boolean) {
    let nowMs = 1_000;
    const written: string[] = [];
    const view = new ProgressView({ isTTY, write: (text) => written.push(text) }, () => nowMs);
    return {
      written,
      view,
      pass: (ms: number): void => {
        nowMs += ms;
      },
    };
  }

  it('draws a bar over itself on a terminal, ten times a second at most, and clears it', () => {
    const { view, written, pass } = watch(true);
    for (let done = 1; done <= 100; done += 1) {
      pass(10);
      view.show(done, 200);
    }
    expect(written).toHaveLength(10);
    expect(written[9]).toBe(
      `\r${'█'.repeat(12)}${'░'.repeat(12)}  50%  100 of 200 weights, 100/s, 0:01 left\x1b[K`,
    );
    view.clear();
    view.clear();
    expect(written.slice(10)).toEqual(['\r\x1b[K']);
  });

  it('writes a plain line every five seconds elsewhere', () => {
    const { view, written, pass } = watch(false);
    for (let done = 1; done <= 10; done += 1) {
      pass(1_000);
      view.show(done, 20);
    }
    view.clear();
    expect(written).toEqual([
      ' 25%  5 of 20 weights, 1/s, 0:15 left\n',
      ' 50%  10 of 20 weights, 1/s, 0:10 left\n',
    ]);
  });
});
