import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { accepts } from '../../../test/support/constrained/walk.ts';
import { Automaton } from '../automaton.ts';
import { compileSchema } from '../compile-schema.ts';
import { SchemaError } from '../schema-error.ts';
import { nextDown, nextUp } from './number-range.ts';

const bound = fc.oneof(
  fc.integer({ min: -120, max: 120 }),
  fc.integer({ min: -4000, max: 4000 }).map((parts) => parts / 100),
  fc.constantFrom(0, 1e-7, 0.1, 1e20, -1e15, 12_345_678.9),
);
const keyword = fc.constantFrom('minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum');
const decimalText = fc.oneof(
  fc.integer({ min: -130, max: 130 }).map(String),
  fc.integer({ min: -13_000, max: 13_000 }).map((parts) => (parts / 100).toFixed(2)),
  fc.integer({ min: -13_000, max: 13_000 }).map((parts) => (parts / 1000).toFixed(3)),
  fc.constantFrom(
    '0.10',
    '0.0',
    '-0.0',
    '1.',
    '01',
    '.5',
    '-',
    '100000000000000000000',
    '0.0000001',
    '12345678.9',
  ),
);

const fitsBounds = (bounds: Readonly<Record<string, number>>, value: number): boolean =>
  Object.entries(bounds).every(([name, limit]) => {
    if (name === 'minimum') return value >= limit;
    if (name === 'maximum') return value <= limit;
    return name === 'exclusiveMinimum' ? value > limit : value < limit;
  });

describe.each(['integer', 'number'])('a bounded %s', (type) => {
  test('is exactly what lies within the bounds', () => {
    let inside = 0;
    fc.assert(
      fc.property(
        fc.dictionary(keyword, bound, { minKeys: 1, maxKeys: 3 }),
        fc.array(decimalText, { minLength: 1, maxLength: 20 }),
        (bounds, texts) => {
          let automaton: Automaton;
          try {
            automaton = new Automaton(compileSchema({ type, ...bounds }));
          } catch (error) {
            expect(error).toBeInstanceOf(SchemaError);
            for (const text of texts) {
              const value = Number(text);
              const counts = type === 'number' || /^-?\d+$/.test(text);
              if (counts) expect(fitsBounds(bounds, value)).toBe(false);
            }
            return;
          }
          for (const text of texts) {
            const form = type === 'integer' ? /^-?(0|[1-9]\d*)$/ : /^-?(0|[1-9]\d*)(\.\d+)?$/;
            const isIn = form.test(text) && fitsBounds(bounds, Number(text));
            // Zero has no sign where there is nothing below it to read.
            const taken = accepts(automaton, text);
            if (!Object.is(Number(text), -0)) expect(taken).toBe(isIn);
            else if (taken) expect(isIn).toBe(true);
            inside += Number(isIn);
          }
        },
      ),
      { numRuns: 1_500 },
    );
    expect(inside).toBeGreaterThan(300);
  });
});

test('digits that round to an excluded bound are not taken', () => {
  const below = new Automaton(compileSchema({ type: 'number', exclusiveMaximum: 1 }));
  expect(accepts(below, '0.9999')).toBe(true);
  expect(accepts(below, `0.${'9'.repeat(25)}`)).toBe(false);
  const above = new Automaton(compileSchema({ type: 'number', exclusiveMinimum: 0 }));
  expect(accepts(above, `0.${'0'.repeat(24)}1`)).toBe(true);
  expect(accepts(above, '0.0')).toBe(false);
  const large = new Automaton(compileSchema({ type: 'integer', exclusiveMinimum: 1e17 }));
  expect(accepts(large, '100000000000000001')).toBe(false);
  expect(accepts(large, '100000000000000020')).toBe(true);
});

test('the neighbours of a number are its nearest ones', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, max: 1e300, min: -1e300 }), (value) => {
      expect(nextUp(value)).toBeGreaterThan(value);
      expect(nextDown(nextUp(value))).toBe(value === 0 ? 0 : value);
      const between = value + (nextUp(value) - value) / 2;
      expect(between === value || between === nextUp(value)).toBe(true);
    }),
  );
});
