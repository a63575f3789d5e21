import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { schemaWithText } from '../../test/support/constrained/schemas.ts';
import { fits } from '../../test/support/constrained/validate.ts';
import { accepts, randomText } from '../../test/support/constrained/walk.ts';
import type { CallConstraint } from '../protocol/request.ts';
import { BEFORE_ARGUMENTS, BEFORE_NAME, BEHIND_ARGUMENTS, toolCallText } from '../protocol/tool-call-text.ts';
import { Automaton } from './automaton.ts';
import { compileConstraint } from './compile-schema.ts';
import { compileToolCall, ParametersError } from './compile-tool-call.ts';
import { SchemaError } from './schema-error.ts';

type Functions = CallConstraint['functions'];

/** Both have a definition of the same name. */
const FUNCTIONS: Functions = [
  {
    name: 'look_up',
    parameters: {
      type: 'object',
      properties: { word: { $ref: '#/$defs/it' }, senses: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['word'],
      $defs: { it: { enum: ['harbor', 'ship'] } },
    },
  },
  {
    name: 'look',
    parameters: {
      type: 'object',
      properties: { far: { $ref: '#/$defs/it' } },
      required: ['far'],
      $defs: { it: { type: 'boolean' } },
    },
  },
];

const takes = (functions: Functions, text: string, otherwise?: unknown): boolean =>
  accepts(new Automaton(compileToolCall(functions, otherwise)), text);
const called = (name: string, values: Record<string, unknown>) => toolCallText({ name, arguments: values });

describe('the grammar of a call', () => {
  test.each<[boolean, string]>([
    [true, called('look_up', { word: 'ship', senses: 3 })],
    [true, called('look_up', { word: 'harbor' })],
    [true, called('look', { far: true })],
    [false, called('look', { far: 'ship' })],
    [false, called('look', { word: 'ship' })],
    [false, called('look_up', { word: 'boat' })],
    [false, called('look_up', { senses: 3 })],
    [false, called('other', {})],
    [false, JSON.stringify({ name: 'look', arguments: { far: true } })],
    [false, `${called('look', { far: true })}\n`],
    [false, `So: ${called('look', { far: true })}`],
    [false, called('look', { far: true }).repeat(2)],
    [false, ''],
  ])('is %s of %j', (isCall, text) => expect(takes(FUNCTIONS, text)).toBe(isCall));

  test('takes something else only where that may be', () => {
    const otherwise = { type: 'object', properties: { a: { type: 'null' } }, required: ['a'] };
    expect(takes(FUNCTIONS, '{"a":null}', otherwise)).toBe(true);
    expect(takes(FUNCTIONS, called('look', { far: true }), otherwise)).toBe(true);
    expect(takes(FUNCTIONS, '{"a":1}', otherwise)).toBe(false);
    expect(takes(FUNCTIONS, '{"a":null}')).toBe(false);
  });

  test('is that of a constraint', () => {
    const only = new Automaton(compileConstraint({ kind: 'tool_call', functions: FUNCTIONS }));
    expect(accepts(only, called('look', { far: false }))).toBe(true);
    expect(accepts(only, '{}')).toBe(false);
    const otherwise = { kind: 'json_object' } as const;
    const either = compileConstraint({ kind: 'tool_call', functions: FUNCTIONS, otherwise });
    expect(accepts(new Automaton(either), '{}')).toBe(true);
  });

  test('lets no text through that is no call', () => {
    const automaton = new Automaton(compileToolCall(FUNCTIONS));
    const random = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 40, maxLength: 40 });
    const names = new Set<string>();
    const property = fc.property(random, (draws) => {
      let at = 0;
      const text = randomText(automaton, () => draws[at++ % draws.length]!, 200);
      const match = /^<tool_call>\n(.*)\n<\/tool_call>$/s.exec(text);
      const { name, arguments: values } = JSON.parse(match![1]!) as { name: string; arguments: object };
      names.add(name);
      expect(fits(FUNCTIONS.find((one) => one.name === name)!.parameters, values), text).toBe(true);
    });
    fc.assert(property, { numRuns: 60 });
    expect(names).toEqual(new Set(['look_up', 'look']));
  });

  test('takes whatever fits the parameters', () => {
    const property = fc.property(schemaWithText(2), ({ schema, text }) => {
      const functions = [...FUNCTIONS, { name: 'any', parameters: schema }];
      const written = `${BEFORE_NAME}any${BEFORE_ARGUMENTS}${text}${BEHIND_ARGUMENTS}`;
      expect(takes(functions, written), written).toBe(true);
    });
    fc.assert(property, { numRuns: 60 });
  });
});

describe('parameters are refused, by the function', () => {
  const refusal = (parameters: Record<string, unknown>): unknown => {
    try {
      compileToolCall([...FUNCTIONS, { name: 'wrong', parameters }]);
    } catch (error) {
      return error;
    }
    throw new Error('It compiled.');
  };

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'that are not supported',
      { type: 'object', properties: { a: { not: {} } } },
      /'not' at #\/properties\/a /,
    ],
    ['that nothing fits', { properties: { a: { $ref: '#' } }, required: ['a'] }, /fits no value/],
    ['that are too large', { description: 'x'.repeat(70_000) }, /at most 65536 are supported/],
    ['that are too deep', { items: JSON.parse('['.repeat(200) + ']'.repeat(200)) }, /more than 128 objects/],
  ])('%s', (_, parameters, message) => {
    const error = refusal(parameters);
    expect(error).toBeInstanceOf(ParametersError);
    expect(error).toMatchObject({ position: FUNCTIONS.length, message: expect.stringMatching(message) });
  });

  test('that are too many together', () => {
    const parameters = { type: 'object', properties: { a: { type: 'string', maxLength: 10_000 } } };
    const many = Array.from({ length: 100 }, (_, index) => ({ name: `f${index}`, parameters }));
    expect(() => compileToolCall(many)).toThrow(/more than 250000 steps/);
  });

  test('but not what may be instead of a call', () => {
    expect(() => compileToolCall(FUNCTIONS, { not: {} })).toThrow(SchemaError);
  });
});
