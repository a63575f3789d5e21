import { describe, expect, test } from 'vitest';
import type { AnswerCount } from '../protocol/member.ts';
import { answerLength, answersBetween } from './answer-length.ts';

const counted = (...lengths: number[]): AnswerCount => ({
  answers: lengths.length,
  tokens: lengths.reduce((sum, length) => sum + length, 0),
  tokensSquared: lengths.reduce((sum, length) => sum + length ** 2, 0),
});
const repeated = (length: number, count: number): number[] => Array.from({ length: count }, () => length);

describe('answerLength', () => {
  test('is mean and variation of the answers of all samples', () => {
    const length = answerLength([counted(...repeated(10, 20)), undefined, counted(...repeated(30, 20))], 100);
    expect(length).toEqual({ tokens: 20, variation: 0.5 });
  });

  test('does not vary where all are as long, whatever rounding does', () => {
    const { tokens, variation } = answerLength([counted(...repeated(0.1, 1_000))], 100);
    expect(tokens).toBeCloseTo(0.1, 9);
    expect(variation).toBeLessThan(1e-6);
  });

  test('is what was expected, and exponential, until enough answers have ended or where all were empty', () => {
    expect(answerLength([], 100)).toEqual({ tokens: 100, variation: 1 });
    expect(answerLength([counted(...repeated(10, 31))], 100)).toEqual({ tokens: 100, variation: 1 });
    expect(answerLength([counted(...repeated(0, 50))], 100)).toEqual({ tokens: 100, variation: 1 });
  });
});

describe('answersBetween', () => {
  test('counts what ended since, and all of an instance that is new or began anew', () => {
    const before = { old: counted(5, 7), anew: counted(9, 9, 9), gone: counted(4) };
    const after = { old: counted(5, 7, 11), anew: counted(3), new: counted(2, 2) };
    expect(answersBetween(before, after)).toEqual(counted(11, 3, 2, 2));
  });
});
