import { expect, test } from 'vitest';
import { RequestError } from './errors.ts';
import { requestTimeoutMs } from './request-timeout.ts';

test.each([
  [undefined, null],
  ['30', 30_000],
  ['2.5', 2_500],
  ['1s', 1_000],
  ['1500ms', 1_500],
  [' 0.001 ', 1],
])('x-request-timeout %s is %s ms', (text, ms) => expect(requestTimeoutMs(text)).toBe(ms));

test.each(['', '0', '0ms', '-1', '1m', '1e3', '.5', '5.', '1 s', 'Infinity', '9999999999', '1.0000'])(
  'x-request-timeout "%s" is refused, by its name',
  (text) => {
    expect(() => requestTimeoutMs(text)).toThrow(
      expect.objectContaining({
        failure: expect.objectContaining({ status: 400, param: 'x-request-timeout' }),
      }),
    );
    expect(() => requestTimeoutMs(text)).toThrow(RequestError);
  },
);
