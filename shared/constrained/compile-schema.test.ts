import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { accepts } from '../../test/support/constrained/walk.ts';
import { JanusError } from '../errors/janus-error.ts';
import { Automaton } from './automaton.ts';
import { compileSchema } from './compile-schema.ts';
import { SchemaError } from './schema-error.ts';

const takes = (schema: unknown, ...texts: readonly string[]): boolean[] => {
  const automaton = new Automaton(compileSchema(schema));
  return texts.map((text) => accepts(automaton, text));
};

function refusal(schema: unknown): SchemaError {
  try {
    compileSchema(schema);
  } catch (error) {
    if (error instanceof SchemaError) return error;
    throw error;
  }
  throw new Error('It compiled.');
}

const property = (schema: unknown) => ({ type: 'object', properties: { a: schema } });
const deep = (levels: number, inner: unknown): unknown =>
  levels === 0 ? inner : deep(levels - 1, { items: inner });

describe('a schema is refused, naming place and keyword', () => {
  test.each<[string, unknown, string, string | null, RegExp]>([
    ['oneOf', property({ oneOf: [{}] }), '#/properties/a', 'oneOf', /not supported; supported are type, /],
    ['not', { not: {} }, '#', 'not', /not supported/],
    ['if', property({ type: 'array', items: { if: {} } }), '#/properties/a/items', 'if', /not supported/],
    [
      'patternProperties',
      { type: 'object', patternProperties: {} },
      '#',
      'patternProperties',
      /not supported/,
    ],
    ['uniqueItems', { type: 'array', uniqueItems: true }, '#', 'uniqueItems', /not supported/],
    ['multipleOf', { type: 'integer', multipleOf: 2 }, '#', 'multipleOf', /not supported/],
    ['allOf of two', { allOf: [{}, {}] }, '#', 'allOf', /a single schema only/],
    ['keywords beside anyOf', { anyOf: [{}], type: 'object' }, '#', 'type', /beside 'anyOf'/],
    ['keywords beside $ref', { $ref: '#', minLength: 2 }, '#', 'minLength', /beside '\$ref'/],
    ['keywords beside enum', { enum: ['a'], maxLength: 2 }, '#', 'maxLength', /beside 'enum'/],
    ['$id below the root', property({ $id: 'x' }), '#/properties/a', '$id', /not supported/],
    ['an unknown type', { type: 'text' }, '#', 'type', /must be one or a list of object, array/],
    ['no type at all', { type: [] }, '#', 'type', /must be one or a list/],
    ['a schema that is none', property(5), '#/properties/a', null, /must be an object, true or false/],
    ['items as a list', { type: 'array', items: [{}] }, '#/items', null, /must be an object, true or false/],
    [
      'properties as a list',
      { type: 'object', properties: [] },
      '#',
      'properties',
      /must map names to schemas/,
    ],
    [
      'required that is no list',
      { type: 'object', required: 'a' },
      '#',
      'required',
      /must be a list of names/,
    ],
    [
      'required but undeclared',
      { ...property({}), required: ['b'] },
      '#',
      'required',
      /names "b".*declare it/,
    ],
    ['an empty enum', { enum: [] }, '#', 'enum', /1 to 1000 values/],
    ['too many values', { enum: Array.from({ length: 1001 }, (_, i) => i) }, '#', 'enum', /1 to 1000 values/],
    [
      'an enum of another type',
      { type: 'string', enum: [1] },
      '#',
      'enum',
      /no value of the schema's 'type'/,
    ],
    ['an infinite const', { const: [Number.POSITIVE_INFINITY] }, '#', 'const', /too large/],
    ['an empty anyOf', { anyOf: [] }, '#', 'anyOf', /at least one/],
    ['a reference elsewhere', { $ref: 'http://x/y' }, '#', '$ref', /pointers into this schema/],
    ['a reference to nothing', property({ $ref: '#/$defs/b' }), '#/properties/a', '$ref', /leads to nothing/],
    ['a broken reference', { $ref: '#/%' }, '#', '$ref', /pointers into this schema/],
    ['a negative length', { type: 'string', minLength: -1 }, '#', 'minLength', /0 to 10000/],
    ['a huge length', { type: 'string', maxLength: 10_001 }, '#', 'maxLength', /0 to 10000/],
    [
      'lengths that exclude each other',
      { type: 'string', minLength: 3, maxLength: 2 },
      '#',
      'minLength',
      /more than/,
    ],
    [
      'items that exclude each other',
      { type: 'array', minItems: 3, maxItems: 2 },
      '#',
      'minItems',
      /more than/,
    ],
    [
      'bounds that exclude each other',
      { type: 'number', minimum: 3, exclusiveMaximum: 3 },
      '#',
      null,
      /no number/,
    ],
    ['a bound that is no number', { type: 'number', minimum: '3' }, '#', 'minimum', /must be a number/],
    [
      'an unknown format',
      { type: 'string', format: 'uri' },
      '#',
      'format',
      /"uri"; supported are date-time, /,
    ],
    ['format and pattern', { format: 'date', pattern: 'a' }, '#', 'pattern', /beside 'format'/],
    ['pattern and length', { pattern: 'a', maxLength: 3 }, '#', 'pattern', /say the length in a pattern/],
    ['a wrong pattern', { pattern: '(' }, '#', 'pattern', /not a regular expression/],
    ['a pattern that looks ahead', { pattern: '(?=a)b' }, '#', 'pattern', /begins with '\(\?'/],
    ['a pattern that looks behind', { pattern: '(?<=a)b' }, '#', 'pattern', /begins with '\(\?'/],
    ['a pattern that refers back', { pattern: '(a)\\1' }, '#', 'pattern', /'\\1'/],
    ['a word boundary', { pattern: '\\ba' }, '#', 'pattern', /'\\b'/],
    ['a Unicode property', { pattern: '\\p{L}' }, '#', 'pattern', /'\\p'/],
    ['an anchor inside', { pattern: 'a(^b|c$)' }, '#', 'pattern', /elsewhere than at the beginning/],
    ['a long pattern', { pattern: 'a'.repeat(1001) }, '#', 'pattern', /at most 1000/],
    ['a pattern of many repetitions', { pattern: 'a{10001}' }, '#', 'pattern', /more than 10000 times/],
    ['repetitions of repetitions', { pattern: '((a|b|c){1000}){1000}' }, '#', null, /too large/],
    ['schemas too deep inside each other', deep(33, {}), `#${'/items'.repeat(14)}`, null, /more than 32/],
    [
      'lists too deep inside each other',
      { default: JSON.parse('['.repeat(999) + ']'.repeat(999)) },
      '#',
      null,
      /128/,
    ],
    ['a long text', { description: 'x'.repeat(70_000) }, '#', null, /bytes; at most 65536/],
    ['a long name', { properties: { ['n'.repeat(300)]: {} } }, '#', 'properties', /at most 256 characters/],
    ['what needs itself', { ...property({ $ref: '#' }), required: ['a'] }, '#', null, /fits no value/],
    ['what needs itself only', { $ref: '#' }, '#', null, /fits no value/],
    [
      'what nothing fits',
      { type: 'object', properties: { a: false }, required: ['a'] },
      '#',
      null,
      /fits no value/,
    ],
  ])('%s', (_, schema, pointer, keyword, message) => {
    const error = refusal(schema);
    expect(error).toBeInstanceOf(JanusError);
    expect(error.pointer.startsWith(pointer)).toBe(true);
    expect(error.keyword).toBe(keyword);
    expect(error.message).toMatch(message);
    expect(error.message.length).toBeLessThan(500);
  });

  test('an error repeats little of a schema', () => {
    const name = `${'/~é'.repeat(80)}\ud800`;
    const { message } = refusal({ properties: { [name]: { ['k'.repeat(5_000)]: 1 } } });
    expect(message.length).toBeLessThan(500);
    expect(message.isWellFormed()).toBe(true);
  });

  test('whatever JSON is given, it compiles or is refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        for (const schema of [one, { type: 'object', properties: { a: one }, additionalProperties: other }]) {
          try {
            compileSchema(schema);
          } catch (error) {
            expect(error).toBeInstanceOf(SchemaError);
          }
        }
      }),
    );
  });
});

describe('what keywords mean', () => {
  test('an object is closed where it has properties, and free where it has none', () => {
    const closed = property({ type: 'integer' });
    expect(takes(closed, '{}', '{"a":1}', '{"b":1}', '{"a":1,"b":1}')).toEqual([true, true, false, false]);
    const open = { ...closed, additionalProperties: true };
    expect(takes(open, '{"b":[]}', '{"a":1,"b":1}', '{"b":1,"a":1}')).toEqual([true, true, false]);
    expect(takes({ type: 'object' }, '{"b":1}', '{"b":1,"a":[{}]}')).toEqual([true, true]);
    expect(takes({ type: 'object', properties: {} }, '{}', '{"a":1}')).toEqual([true, false]);
  });

  test('an additional property never takes the name of a declared one, however it is spelled', () => {
    const schema = { ...property({ type: 'integer' }), additionalProperties: { type: 'string' } };
    const texts = [
      '{"a":1,"ab":"x"}',
      '{"a":1,"a":"x"}',
      '{"\\u0061":"x"}',
      '{"":"x"}',
      '{"\\"":"x"}',
      '{"á":"x"}',
    ];
    expect(takes(schema, ...texts)).toEqual([true, false, false, true, true, true]);
  });

  test('a required name without a schema of its own takes the additional one', () => {
    const schema = { required: ['x'], additionalProperties: { type: 'integer' } };
    expect(takes(schema, '{"x":1}', '{"x":1,"y":2}', '{"y":2}', '{"x":"1"}')).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test('properties come in the order of the schema', () => {
    const schema = { properties: { b: true, a: true } };
    expect(takes(schema, '{"b":1,"a":2}', '{"a":2,"b":1}', '{"a":2}')).toEqual([true, false, true]);
  });

  test('keywords imply the type where none is given, and those of other types do nothing', () => {
    expect(takes({ minLength: 2 }, '"ab"', '"a"', '5')).toEqual([true, false, false]);
    expect(takes({ minimum: 2, maxItems: 1 }, '2', '1', '[1]', '[1,2]', '"a"')).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(takes({ type: 'integer', minLength: 5, properties: 7 }, '1', '"a"')).toEqual([true, false]);
    expect(takes({}, '1', '"a"', '[null]')).toEqual([true, true, true]);
  });

  test('titles, descriptions and defaults change nothing', () => {
    const schema = {
      title: 't',
      description: 'd',
      default: 'x',
      examples: [1],
      $schema: 's',
      $id: 'i',
      type: 'boolean',
    };
    expect(takes(schema, 'true', 'false', '"x"')).toEqual([true, true, false]);
  });

  test('references lead to definitions, properties and the root', () => {
    const schema = {
      properties: {
        a: { $ref: '#/$defs/x~1y%25' },
        b: { $ref: '#/properties/a', description: 'same' },
        c: { allOf: [{ $ref: '#/definitions/z' }] },
        d: { type: 'array', items: { $ref: '#' } },
      },
      $defs: { 'x/y%': { const: 1 } },
      definitions: { z: { enum: ['z', null] } },
    };
    expect(takes(schema, '{"a":1,"b":1,"c":null,"d":[{"b":1},{}]}', '{"b":2}')).toEqual([true, false]);
  });

  test('values of enum and const are exactly those, of the given type', () => {
    const values = ['a', 'ab', 'a"b', 1, 1.5, null, true, [1, { b: [] }], {}];
    const texts = values.map((value) => JSON.stringify(value));
    expect(takes({ enum: values }, ...texts, '"b"', '[1, {"b":[]}]', '[1,{"b":[1]}]', '"\\u0061"')).toEqual([
      ...texts.map(() => true),
      false,
      true,
      false,
      false,
    ]);
    expect(takes({ type: ['integer', 'null'], enum: values }, ...texts)).toEqual(
      values.map((value) => value === null || value === 1),
    );
  });

  test('true and false are schemas', () => {
    const schema = { properties: { a: true, b: false }, additionalProperties: false };
    expect(takes(schema, '{"a":[]}', '{"b":1}', '{}')).toEqual([true, false, true]);
    expect(takes({ type: 'array', items: false }, '[]', '[1]')).toEqual([true, false]);
  });

  test('a large schema compiles in a moment', () => {
    const names = Array.from({ length: 1_000 }, (_, i) => `property number ${i}`);
    const properties = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
    const startedAt = performance.now();
    const automaton = new Automaton(compileSchema({ properties, additionalProperties: { type: 'integer' } }));
    expect(accepts(automaton, '{"property number 999":"x","property number":1}')).toBe(true);
    expect(accepts(automaton, '{"property number 999":1}')).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
