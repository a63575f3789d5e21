import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchesText } from '../../test/support/constrained/match-text.ts';
import { schemaCases, schemaWithText } from '../../test/support/constrained/schemas.ts';
import { fits } from '../../test/support/constrained/validate.ts';
import { accepts, randomText } from '../../test/support/constrained/walk.ts';
import { seededRandom } from '../placement/seeded-random.ts';
import { Automaton } from './automaton.ts';
import { compileConstraint, compileSchema } from './compile-schema.ts';
import { MAX_NESTING, MAX_STATES } from './limits.ts';

const automatonOf = (schema: unknown): Automaton => new Automaton(compileSchema(schema));

interface Change {
  readonly at: number;
  readonly kind: 'insert' | 'delete' | 'replace' | 'swap';
  readonly character: string;
}

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom<Change['kind'][]>('insert', 'delete', 'replace', 'swap'),
  character: fc.oneof(
    fc.constantFrom(...'{}[]",: \\\n0159.-+eEtfnaé'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
});

function changed(text: string, { at, kind, character }: Change): string {
  const characters = [...text];
  const index = at % (characters.length + 1);
  if (kind === 'insert') characters.splice(index, 0, character);
  else if (kind === 'delete') characters.splice(index, 1);
  else if (kind === 'replace') characters.splice(index, 1, character);
  else characters.splice(index, 2, ...characters.slice(index, index + 2).reverse());
  return characters.join('');
}

const parses = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

describe('the automaton of a random schema', () => {
  test('takes every text that fits', () => {
    fc.assert(
      fc.property(schemaWithText(3), ({ schema, text }) => {
        expect(matchesText(schema, text)).toBe(true);
        expect(accepts(automatonOf(schema), text)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  test('takes a damaged text exactly if it still fits', () => {
    const damages = fc.array(change, { minLength: 1, maxLength: 3 });
    let taken = 0;
    fc.assert(
      fc.property(schemaWithText(2), damages, ({ schema, text }, changes) => {
        const damaged = changes.reduce(changed, text);
        const isTaken = accepts(automatonOf(schema), damaged);
        expect(isTaken).toBe(matchesText(schema, damaged));
        if (!isTaken) return;
        taken++;
        expect(parses(damaged) && fits(schema, JSON.parse(damaged))).toBe(true);
      }),
      { numRuns: 3_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  test('lets any walk along allowed bytes end, in a text that JSON.parse takes and that fits', () => {
    fc.assert(
      fc.property(schemaCases(3), fc.integer(), fc.constantFrom(0, 5, 60), ({ schema }, seed, patience) => {
        const text = randomText(automatonOf(schema), seededRandom(seed), patience);
        expect(fits(schema, JSON.parse(text))).toBe(true);
        expect(matchesText(schema, text)).toBe(true);
      }),
      { numRuns: 600 },
    );
  });

  test('reaches the same state whatever else it has read', () => {
    fc.assert(
      fc.property(schemaWithText(2), fc.integer(), ({ schema, text }, seed) => {
        const bytes = new TextEncoder().encode(text);
        const automaton = automatonOf(schema);
        const [fresh, used] = [automaton.read(automaton.start, bytes), automatonOf(schema)];
        for (let walk = 0; walk < 3; walk++) randomText(used, seededRandom(seed + walk), 20);
        expect(automaton.read(automaton.start, bytes)).toBe(fresh);
        expect(used.allowedBytes(used.read(used.start, bytes)!)).toEqual(automaton.allowedBytes(fresh!));
      }),
      { numRuns: 200 },
    );
  });
});

describe('schemas that refer to themselves', () => {
  const list = {
    $ref: '#/$defs/node',
    $defs: {
      node: {
        type: 'object',
        properties: {
          value: { type: 'integer' },
          next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
        },
        required: ['value', 'next'],
        additionalProperties: false,
      },
    },
  };
  const tree = {
    type: 'object',
    properties: { name: { enum: ['a', 'b'] }, children: { type: 'array', items: { $ref: '#' } } },
    required: ['name'],
  };

  test.each([
    ['a list', list],
    ['a tree', tree],
  ])('%s: random walks fit and stay within the bound of nesting', (_, schema) => {
    const automaton = automatonOf(schema);
    for (let seed = 0; seed < 50; seed++) {
      const text = randomText(automaton, seededRandom(seed), 400);
      expect(fits(schema, JSON.parse(text))).toBe(true);
      expect(matchesText(schema, text)).toBe(true);
    }
  });

  test('a list may be as long as values may be nested, and no longer', () => {
    const nested = (levels: number) => `${'{"value":1,"next":'.repeat(levels)}null${'}'.repeat(levels)}`;
    const automaton = automatonOf(list);
    const longest = Array.from({ length: 100 }, (__, levels) => levels).findLast((levels) =>
      accepts(automaton, nested(levels)),
    );
    expect(longest).toBeGreaterThan(MAX_NESTING - 4);
    expect(longest).toBeLessThanOrEqual(MAX_NESTING + 1);
  });

  test('two kinds of object that begin alike are told apart at any depth', () => {
    const kind = (end: string) => ({
      type: 'object',
      properties: { a: { $ref: '#' }, [end]: { type: 'integer' } },
      required: [end],
    });
    const schema = { anyOf: [kind('b'), kind('c')] };
    const automaton = automatonOf(schema);
    const startedAt = performance.now();
    for (const levels of [1, 4, 7]) {
      const text = `${'{"a":'.repeat(levels)}{"b":1}${',"c":2}'.repeat(levels)}`;
      expect(accepts(automaton, text)).toBe(true);
      expect(accepts(automaton, text.replace('"b"', '"d"'))).toBe(false);
    }
    // Beyond some depth not all readings are followed, but what is taken fits.
    const deep = randomText(automaton, seededRandom(1), 300);
    expect(fits(schema, JSON.parse(deep))).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });
});

describe('any JSON object', () => {
  const automaton = new Automaton(compileConstraint({ kind: 'json_object' }));

  test('is every object, and nothing else', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        // Numbers end somewhat below the largest one of 64 bits.
        fc.pre(!JSON.stringify(value).includes('e+308'));
        const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
        expect(accepts(automaton, JSON.stringify(value))).toBe(isObject);
        expect(accepts(automaton, JSON.stringify({ value }))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('is nested no deeper than the bound, where it can still be closed', () => {
    const nested = (levels: number) => `${'{"a":'.repeat(levels)}{}${'}'.repeat(levels)}`;
    expect(accepts(automaton, nested(MAX_NESTING - 2))).toBe(true);
    expect(accepts(automaton, nested(MAX_NESTING + 1))).toBe(false);
    for (let seed = 0; seed < 30; seed++) JSON.parse(randomText(automaton, seededRandom(seed), 2_000));
  });

  test.each(['{"a": 1, "b": [1, 2]}', '{"a":"\\u00e9\\ud83d\\ude00\\/"}', '{"":{}}', '{"a":1,"a":2}'])(
    'takes %s',
    (text) => expect(accepts(automaton, text)).toBe(true),
  );

  test.each([
    ['two spaces', '{"a":  1}'],
    ['a space before a colon', '{"a" :1}'],
    ['a space inside brackets', '{ "a":1}'],
    ['a line end', '{"a":\n1}'],
    ['half a surrogate pair', '{"a":"\\ud83d"}'],
    ['the second half of one', '{"a":"\\ude00"}'],
    ['an unknown escape', '{"a":"\\x"}'],
    ['a control character', '{"a":"\t"}'],
    ['a number that starts with zero', '{"a":01}'],
    ['a number beyond all bounds', '{"a":1e999}'],
    ['more digits than numbers have', `{"a":${'1'.repeat(22)}}`],
    ['text behind the end', '{"a":1} '],
  ])('does not take %s', (_, text) => expect(accepts(automaton, text)).toBe(false));

  test('does not take bytes that are no UTF-8', () => {
    const before = automaton.read(automaton.start, new TextEncoder().encode('{"a":"'))!;
    for (const bytes of [[0x80], [0xc0, 0x80], [0xe0, 0x80], [0xed, 0xa0], [0xf4, 0x90], [0xf5], [0xff]]) {
      expect(automaton.read(before, Uint8Array.from(bytes))).toBeNull();
    }
  });
});

test('a text of more states than are kept is read all the same', () => {
  const automaton = automatonOf({ type: 'string', maxLength: 10_000 });
  const text = JSON.stringify('ab'.repeat(5_000));
  expect(text.length).toBeGreaterThan(2 * MAX_STATES);
  expect(accepts(automaton, text)).toBe(true);
  expect(accepts(automaton, text)).toBe(true);
  expect(accepts(automaton, JSON.stringify('ab'.repeat(5_001)))).toBe(false);
  // A state that somebody still holds goes on when the others were forgotten.
  const held = automaton.read(automaton.start, new TextEncoder().encode('"abc'))!;
  expect(accepts(automaton, text)).toBe(true);
  expect(automaton.read(held, new TextEncoder().encode('d"'))?.complete).toBe(true);
});

test('complete and open tell where a text may and must end', () => {
  const number = automatonOf({ type: 'integer' });
  const read = (automaton: Automaton, text: string) =>
    automaton.read(automaton.start, new TextEncoder().encode(text));
  expect(number.start).toMatchObject({ complete: false, open: true });
  expect(read(number, '-')).toMatchObject({ complete: false, open: true });
  expect(read(number, '12')).toMatchObject({ complete: true, open: true });
  expect(read(number, '0')).toMatchObject({ complete: true, open: false });
  expect(read(automatonOf({ const: { a: 1 } }), '{"a":1}')).toMatchObject({ complete: true, open: false });
});
