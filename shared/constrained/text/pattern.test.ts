import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { accepts } from '../../../test/support/constrained/walk.ts';
import { Automaton } from '../automaton.ts';
import { compileSchema } from '../compile-schema.ts';

const matcherOf = (schema: object): ((text: string) => boolean) => {
  const automaton = new Automaton(compileSchema({ type: 'string', ...schema }));
  return (text) => accepts(automaton, JSON.stringify(text));
};

/** Parts of patterns, put together at random. */
const atom = fc.constantFrom(
  'a',
  'b',
  'ab',
  '\\.',
  '.',
  '[ab]',
  '[^a]',
  '[a-c\\d]',
  '[\\w-]',
  '\\s',
  '\\S',
  '\\D',
  '\\u00e9',
  '\\u{1f600}',
  '\\ud83d\\ude00',
  '\\n',
  '\\x41',
  '"',
  '\\\\',
  '[^]',
  '語',
);
const quantifier = fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '+?', '{1}?', '{0}');
const { body } = fc.letrec<{ body: string; term: string; group: string }>((tie) => ({
  body: fc
    .array(fc.array(tie('term'), { maxLength: 3 }), { minLength: 1, maxLength: 2 })
    .map((options) => options.map((terms) => terms.join('')).join('|')),
  term: fc
    .tuple(fc.oneof({ weight: 4, arbitrary: atom }, tie('group')), quantifier)
    .map((parts) => parts.join('')),
  group: fc
    .tuple(fc.constantFrom('(', '(?:', '(?<name>'), tie('body'))
    .map(([open, inner]) => `${open}${inner.replaceAll('(?<name>', '(')})`),
}));
const pattern = fc
  .tuple(fc.constantFrom('', '^'), body, fc.constantFrom('', '$'))
  .map((parts) => parts.join(''))
  .filter((source) => source.split('(?<name>').length <= 2);
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('a', 'b', 'c', '.', '1', 'A', 'é', '😀', '\n', ' ', '"', '\\', '語', '-'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 6,
});

test('a pattern takes exactly the texts that JavaScript finds a match in', () => {
  let matches = 0;
  fc.assert(
    fc.property(pattern, fc.array(text, { minLength: 1, maxLength: 8 }), (source, texts) => {
      const expression = new RegExp(source, 'u');
      const matcher = matcherOf({ pattern: source });
      for (const one of texts) {
        expect(matcher(one)).toBe(expression.test(one));
        matches += Number(expression.test(one));
      }
    }),
    { numRuns: 2_000 },
  );
  expect(matches).toBeGreaterThan(2_000);
});

test('a pattern that takes long to match by trying is no trouble', () => {
  const matcher = matcherOf({ pattern: '^(a+)+$' });
  expect(matcher('a'.repeat(5_000))).toBe(true);
  expect(matcher(`${'a'.repeat(5_000)}b`)).toBe(false);
});

describe('formats', () => {
  test.each<[string, string[], string[]]>([
    [
      'date',
      ['2024-02-29', '2000-02-29', '1999-12-31', '0001-01-01'],
      ['2023-02-29', '1900-02-29', '2024-04-31', '2024-13-01', '2024-1-1', '2024-00-10'],
    ],
    ['time', ['23:59:59Z', '00:00:00.5+01:30'], ['24:00:00Z', '12:00:00', '12:60:00Z', '12:00Z']],
    [
      'date-time',
      ['2024-02-29T12:30:00Z', '2024-01-01T00:00:00.123-08:00'],
      ['2024-02-30T12:30:00Z', '2024-02-29'],
    ],
    ['duration', ['P1D', 'PT1H30M', 'P1Y2M3DT4H5M6S', 'P2W'], ['P', 'PT', '1D', 'P1H', 'P1WT1H']],
    [
      'email',
      ['a@b.cd', 'first.last+tag@mail.example.com'],
      ['a', '@b.cd', 'a@b', 'a..b@c.de', 'a@-b.cd', 'a b@c.de'],
    ],
    ['hostname', ['localhost', 'a-b.example.com'], ['-a', 'a-', 'a..b', 'a_b', '']],
    ['ipv4', ['0.0.0.0', '255.255.255.255'], ['256.0.0.1', '1.2.3', '01.2.3.4', '1.2.3.4.5']],
    [
      'ipv6',
      ['::', '::1', '1::', '1:2:3:4:5:6:7:8', '2001:db8::ff00:42:8329', '1:2:3:4:5:6:7::'],
      ['1:2:3:4:5:6:7', '1::2::3', ':1', '12345::', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::'],
    ],
    [
      'uuid',
      ['123e4567-e89b-12d3-a456-426614174000'],
      ['123e4567e89b12d3a456426614174000', '123e4567-e89b-12d3-a456-42661417400g'],
    ],
  ])('%s', (format, right, wrong) => {
    const matcher = matcherOf({ format });
    expect(right.filter((one) => !matcher(one))).toEqual([]);
    expect(wrong.filter(matcher)).toEqual([]);
  });

  test('every day of some years, and no other', () => {
    const matcher = matcherOf({ format: 'date' });
    for (const year of [1900, 2000, 2023, 2024]) {
      for (let day = 0; day < 12 * 32; day++) {
        const one = `${year}-${String(1 + Math.floor(day / 32)).padStart(2, '0')}-${String(day % 32).padStart(2, '0')}`;
        const date = new Date(`${one}T00:00:00Z`);
        const exists = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(one);
        expect(matcher(one)).toBe(exists);
      }
    }
  });
});
