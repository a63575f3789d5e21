import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { ActivationTrace } from './trace.ts';
import { decodeTrace, encodeTrace, mergeTraces } from './trace-codec.ts';

const SHAPE = { layers: 2, experts: 300, expertsPerToken: 2 };

/** Rows [e, e + 1] for each given e. */
const rowsFrom = (...firsts: number[]): number[] => firsts.flatMap((first) => [first, first + 1]);

test('a window keeps the newest rows, oldest first, layer by layer', () => {
  const trace = new ActivationTrace(SHAPE, 3);
  trace.record(0, rowsFrom(1, 2), 2);
  expect([...trace.window(0)]).toEqual(rowsFrom(1, 2));
  trace.record(0, rowsFrom(3, 4), 2);
  expect([...trace.window(0)]).toEqual(rowsFrom(2, 3, 4));
  trace.record(1, rowsFrom(10, 11, 12, 13, 14), 5);
  expect([...trace.window(1)]).toEqual(rowsFrom(12, 13, 14));
  expect([trace.rows(0), trace.rows(1)]).toEqual([3, 3]);
});

test('only the rows of a step count, not what stands behind them', () => {
  const trace = new ActivationTrace(SHAPE, 4);
  trace.record(0, Int32Array.of(5, 6, 999, 999), 1);
  expect([...trace.window(0)]).toEqual([5, 6]);
});

test.each([
  ['a layer', 2, [1, 2], /layer 2/],
  ['an expert', 0, [1, 300], /names expert 300/],
  ['a negative expert', 0, [-1, 3], /names expert -1/],
])('%s that the model does not have is refused, and nothing recorded', (_, layer, ids, message) => {
  const trace = new ActivationTrace(SHAPE, 4);
  expect(() => trace.record(layer, ids, 1)).toThrow(message);
  expect([trace.rows(0), trace.rows(1)]).toEqual([0, 0]);
});

const anyTrace = fc
  .record({
    layers: fc.integer({ min: 1, max: 3 }),
    experts: fc.integer({ min: 1, max: 400 }),
    windowRows: fc.integer({ min: 1, max: 8 }),
  })
  .chain(({ layers, experts, windowRows }) =>
    fc
      .array(fc.tuple(fc.nat({ max: layers - 1 }), fc.nat({ max: experts - 1 })), { maxLength: 40 })
      .map((rows) => {
        const trace = new ActivationTrace({ layers, experts, expertsPerToken: 1 }, windowRows);
        for (const [layer, expert] of rows) trace.record(layer, [expert], 1);
        return trace;
      }),
  );

const windowsOf = (trace: ActivationTrace): number[][] =>
  Array.from({ length: trace.shape.layers }, (_, layer) => [...trace.window(layer)]);

test('any trace survives encoding, also when it is embedded in a larger buffer', () => {
  fc.assert(
    fc.property(anyTrace, fc.nat({ max: 7 }), (trace, offset) => {
      const encoded = encodeTrace(trace);
      const buffer = new Uint8Array(offset + encoded.length);
      buffer.set(encoded, offset);
      const decoded = decodeTrace(buffer.subarray(offset));
      expect(decoded.shape).toEqual(trace.shape);
      expect(decoded.windowRows).toBe(trace.windowRows);
      expect(windowsOf(decoded)).toEqual(windowsOf(trace));
    }),
  );
});

test('a broken encoding is refused, wherever it is cut or changed, or decodes to a trace', () => {
  fc.assert(
    fc.property(anyTrace, fc.nat(), fc.nat({ max: 255 }), (trace, at, byte) => {
      const encoded = encodeTrace(trace);
      expect(() => decodeTrace(encoded.subarray(0, at % encoded.length))).toThrow(JanusError);
      const changed = encoded.slice();
      changed[at % changed.length] = byte;
      try {
        decodeTrace(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(JanusError);
      }
    }),
  );
  expect(() => decodeTrace(new TextEncoder().encode('a text of some length, not a trace'))).toThrow(
    /does not begin/,
  );
});

test('merged, windows that fit together are all there; else each gives its newest rows in proportion', () => {
  const traceOf = (...firsts: number[]): ActivationTrace => {
    const trace = new ActivationTrace(SHAPE, 8);
    trace.record(0, rowsFrom(...firsts), firsts.length);
    return trace;
  };
  const hosts = [traceOf(1, 2, 3, 4), traceOf(11, 12)];
  expect([...mergeTraces(hosts, 6).window(0)]).toEqual(rowsFrom(1, 2, 3, 4, 11, 12));
  expect([...mergeTraces(hosts, 3).window(0)]).toEqual(rowsFrom(3, 4, 12));
  expect(mergeTraces(hosts, 3).rows(1)).toBe(0);
});

test('traces of different models are not merged', () => {
  const one = new ActivationTrace(SHAPE, 1);
  const other = new ActivationTrace({ ...SHAPE, experts: 8 }, 1);
  expect(() => mergeTraces([one, other], 8)).toThrow(/different models/);
  expect(() => mergeTraces([], 8)).toThrow(/no activation trace/);
});
