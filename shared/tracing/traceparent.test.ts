import { expect, test } from 'vitest';
import { formatTraceparent, parseTraceparent } from './traceparent.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const place = (isSampled: boolean) => ({ traceId: TRACE, spanId: SPAN, isSampled });

test.each([
  [`00-${TRACE}-${SPAN}-01`, true],
  [`00-${TRACE}-${SPAN}-00`, false],
  [`00-${TRACE}-${SPAN}-03`, true],
  [`cc-${TRACE}-${SPAN}-01-what-the-future-brings`, true],
])('reads %s', (text, isSampled) => expect(parseTraceparent(text)).toEqual(place(isSampled)));

test.each([
  '',
  'garbage',
  `ff-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-1`,
  `00-${TRACE}-${SPAN}-01x`,
])('takes %j for none', (text) => expect(parseTraceparent(text)).toBeNull());

test.each([true, false])('writes what it reads, sampled: %s', (isSampled) =>
  expect(parseTraceparent(formatTraceparent(place(isSampled)))).toEqual(place(isSampled)),
);
