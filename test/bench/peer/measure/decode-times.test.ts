import { describe, expect, it } from 'vitest';
import { decodeTimes } from './decode-times.ts';

/** Times of `count` tokens, `everyMs` apart. */
const times = (count: number, everyMs: number, fromMs = 0): number[] =>
  Array.from({ length: count }, (_, i) => fromMs + i * everyMs);

describe('decodeTimes', () => {
  it('adds up the rates of sequences that decode together', () => {
    const { tokensPerSecond, gapsMs } = decodeTimes([times(21, 10), times(21, 10)]);
    expect(tokensPerSecond).toBeCloseTo(200);
    expect(gapsMs).toEqual(Array(40).fill(10));
  });

  it('looks only at the span in which all decode', () => {
    // The first sequence is fast until the second one begins, and after it ended.
    const first = [...times(50, 1), ...times(20, 10, 50), ...times(50, 1, 250)];
    const second = times(20, 10, 50);
    expect(decodeTimes([first, second]).tokensPerSecond).toBeCloseTo(200);
  });

  it('tells how far the sequences had come', () => {
    // Both decode together from 50 to 240 ms: gaps end at the first one's tokens 51 to 69, and the second one's 1 to 19.
    const first = [...times(50, 1), ...times(20, 10, 50), ...times(50, 1, 250)];
    expect(decodeTimes([first, times(20, 10, 50)]).meanTokensBefore).toBe((60 + 10) / 2);
  });

  it('loses nothing where the tokens of one step arrive a little apart', () => {
    const apart = Array.from({ length: 32 }, (_, s) => times(20, 10, s * 0.01));
    expect(decodeTimes(apart).tokensPerSecond).toBeCloseTo(3_200);
  });

  it('refuses sequences that hardly met, or never began', () => {
    expect(() => decodeTimes([times(20, 10), times(20, 10, 150)])).toThrow(/5 tokens while all 2 decoded/);
    expect(() => decodeTimes([times(20, 10), []])).toThrow(/0 tokens/);
  });
});
