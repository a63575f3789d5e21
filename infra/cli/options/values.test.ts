import { describe, expect, it } from 'vitest';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { autoOrWholeNumber, notEmpty, oneOf, wholeNumber } from './values.ts';

describe('wholeNumber', () => {
  const parse = wholeNumber('--experts', 1, 256);

  it.each([
    ['1', 1],
    ['256', 256],
    ['007', 7],
  ])('takes %s', (text, value) => expect(parse(text)).toBe(value));

  it.each(['', '0', '257', '-1', '+1', '1.5', '1e2', '0x10', ' 1', '1 ', 'two', '٣', '9'.repeat(400)])(
    'refuses %j and names the flag and the range',
    (text) => {
      expect(() => parse(text)).toThrow(JanusError);
      expect(() => parse(text)).toThrow(/^--experts is ".*whole number from 1 to 256/);
    },
  );
});

it('autoOrWholeNumber takes auto, and otherwise what wholeNumber takes', () => {
  const parse = autoOrWholeNumber('--experts', 1, 256);
  expect([parse('auto'), parse('12')]).toEqual(['auto', 12]);
  for (const text of ['0', 'AUTO', ''])
    expect(() => parse(text)).toThrow(/^--experts is ".*"; give auto or a/);
});

it('oneOf takes its words only, as they are written', () => {
  const parse = oneOf('--dtype', ['f32', 'int8']);
  expect(parse('int8')).toBe('int8');
  for (const text of ['INT8', 'int', '', 'toString']) expect(() => parse(text)).toThrow(/^--dtype is /);
});

it('notEmpty refuses white space, which a shell makes of an unset variable', () => {
  const parse = notEmpty('--host', '127.0.0.1');
  expect(parse('0.0.0.0')).toBe('0.0.0.0');
  for (const text of ['', ' '])
    expect(() => parse(text)).toThrow('--host is empty; give for example 127.0.0.1');
});
