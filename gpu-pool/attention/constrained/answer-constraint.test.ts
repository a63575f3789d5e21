import { describe, expect, test } from 'vitest';
import { SchemaError } from '../../../shared/constrained/schema-error.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { AllowedTokens } from '../sampling/allowed-tokens.ts';
import type { AnswerConstraint } from './answer-constraint.ts';
import { ConstraintFactory } from './constraint-factory.ts';

/** Single bytes, then some longer tokens; special ones have bytes too, but they are no text. */
const TEXTS = ['{"a"', '":', '12', '}{', '<end>', '<special>', ''];
const [END, SPECIAL, EMPTY] = [260, 261, 262];
const SIZE = 256 + TEXTS.length;
const tokenBytes = (id: number): Uint8Array =>
  id < 256 ? Uint8Array.of(id) : new TextEncoder().encode(TEXTS[id - 256]);

const factory = (endIds: readonly number[] = [END], bytes = tokenBytes): ConstraintFactory =>
  new ConstraintFactory({
    size: SIZE,
    endIds,
    tokenBytes: bytes,
    isSpecial: (id) => id === END || id === SPECIAL,
  });

const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] } as const;
const constraintOf = (of: Record<string, unknown>, ignoresEnd = false): AnswerConstraint =>
  factory().create({ kind: 'json_schema', schema: of }, ignoresEnd);

const say = (constraint: AnswerConstraint, text: string): void => {
  for (const byte of new TextEncoder().encode(text)) constraint.accept(byte);
};
const idsOf = ({ words, endIds }: AllowedTokens): number[] =>
  Array.from({ length: SIZE }, (_, id) => id).filter(
    (id) => endIds.includes(id) || ((words[id >>> 5] >>> (id & 31)) & 1) === 1,
  );
const code = (character: string): number => character.charCodeAt(0);

describe('the tokens that may come next', () => {
  test('are those that go on, and the end only behind a whole answer', () => {
    const constraint = constraintOf(schema);
    expect(idsOf(constraint.allowed())).toEqual([code('{'), 256]);
    constraint.accept(256);
    expect(idsOf(constraint.allowed())).toEqual([code(':')]);
    say(constraint, ':');
    expect(idsOf(constraint.allowed())).toEqual([code(' '), code('-'), ...[...'0123456789'].map(code), 258]);
    constraint.accept(258);
    expect(idsOf(constraint.allowed())).toEqual([...[...'0123456789'].map(code), code('}'), 258]);
    say(constraint, '}');
    expect(idsOf(constraint.allowed())).toEqual([END]);
    constraint.accept(END);
    expect(idsOf(constraint.allowed())).toEqual([END]);
  });

  test('are never special ones or those without text, whatever their bytes', () => {
    const constraint = constraintOf({ type: 'string' });
    say(constraint, '"');
    const ids = idsOf(constraint.allowed());
    for (const id of [END, SPECIAL, EMPTY]) expect(ids).not.toContain(id);
    expect(ids).toContain(259);
  });

  test('are the end and others where an answer may go on, unless the end is ignored', () => {
    const [free, ignoring] = [constraintOf({ type: 'integer' }), constraintOf({ type: 'integer' }, true)];
    for (const constraint of [free, ignoring]) say(constraint, '7');
    expect(idsOf(free.allowed())).toContain(END);
    expect(idsOf(ignoring.allowed())).not.toContain(END);
    say(ignoring, '1'.repeat(20));
    expect(idsOf(ignoring.allowed())).toEqual([END]);
  });
});

test('a model without an end of sequence is over when nothing can follow', () => {
  const constraint = factory([]).create({ kind: 'json_schema', schema }, false);
  say(constraint, '{"a":1');
  expect(constraint.isOver).toBe(false);
  say(constraint, '}');
  expect(constraint.isOver).toBe(true);
  expect(constraintOf(schema).isOver).toBe(false);
});

test('what does not fit is refused', () => {
  expect(() => say(constraintOf(schema), '{"b"')).toThrow(JanusError);
  expect(() => constraintOf(schema).accept(END)).toThrow(/does not fit/);
  expect(() => constraintOf(schema).accept(SPECIAL)).toThrow(/does not fit/);
  expect(() => constraintOf({ not: {} })).toThrow(SchemaError);
});

test('a vocabulary that cannot go on says so', () => {
  const withoutBraces = factory([END], (id) =>
    id === code('{') || id === 256 ? new Uint8Array() : tokenBytes(id),
  );
  const constraint = withoutBraces.create({ kind: 'json_object' }, false);
  expect(() => constraint.allowed()).toThrow(/No token of the model's vocabulary/);
});

test('constraints of one schema do not disturb each other, nor do many schemas', () => {
  const shared = factory();
  const create = () => shared.create({ kind: 'json_schema', schema }, false);
  const [one, other] = [create(), create()];
  say(one, '{"a":5');
  expect(idsOf(other.allowed())).toEqual([code('{'), 256]);
  for (let value = 0; value < 40; value++) {
    const passing = shared.create({ kind: 'json_schema', schema: { const: value } }, false);
    expect(idsOf(passing.allowed())).toContain(code(String(value).charAt(0)));
  }
  say(one, '}');
  say(other, '{"a":6}');
  expect(idsOf(one.allowed())).toEqual([END]);
  expect(idsOf(other.allowed())).toEqual([END]);
});
