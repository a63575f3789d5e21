import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { StopMatcher } from './stop-matcher.ts';

/** Pushes the pieces until the matcher stops, then flushes. */
function run(stopTexts: readonly string[], pieces: readonly string[]) {
  const matcher = new StopMatcher(stopTexts);
  const emitted: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    emitted.push(text);
    if (stopped) return { emitted, stopped: true, flushed: matcher.flush() };
  }
  return { emitted, stopped: false, flushed: matcher.flush() };
}

describe('one stop text', () => {
  test('ends the answer in front of it', () => {
    expect(run(['END'], ['one END two'])).toEqual({ emitted: ['one '], stopped: true, flushed: '' });
  });

  test('is found across pushes, and its beginning is held back until it is known', () => {
    expect(run(['END'], ['one E', 'N', 'D two']).emitted).toEqual(['one ', '', '']);
    expect(run(['END'], ['one E', 'N', 'T'])).toEqual({
      emitted: ['one ', '', 'ENT'],
      stopped: false,
      flushed: '',
    });
  });

  test('that never completes comes out with flush', () => {
    expect(run(['END'], ['one EN'])).toEqual({ emitted: ['one '], stopped: false, flushed: 'EN' });
  });

  test('is found where it overlaps a false beginning of itself', () => {
    expect(run(['aab'], ['a', 'a', 'a', 'b'])).toEqual({
      emitted: ['', '', 'a', ''],
      stopped: true,
      flushed: '',
    });
  });
});

describe('several stop texts', () => {
  test('the one completed first wins, though another began earlier', () => {
    expect(run(['abcd', 'bc'], ['xabcd']).emitted).toEqual(['xa']);
    expect(run(['abcd', 'bc'], ['x', 'a', 'b', 'c', 'd']).emitted).toEqual(['x', '', '', 'a']);
  });

  test('of those completed by the same character the one that began first wins', () => {
    expect(run(['c', 'bc', 'abc'], ['xabc']).emitted).toEqual(['x']);
  });
});

test('without stop texts everything passes at once', () => {
  expect(run([], ['a', '', 'b'])).toEqual({ emitted: ['a', '', 'b'], stopped: false, flushed: '' });
});

test('what follows a stop text is dropped', () => {
  const matcher = new StopMatcher(['.']);
  expect(matcher.push('a.b')).toEqual({ text: 'a', stopped: true });
  expect(matcher.push('c')).toEqual({ text: '', stopped: true });
  expect(matcher.flush()).toBe('');
});

test('flush forgets a begun stop text', () => {
  const matcher = new StopMatcher(['ab']);
  matcher.push('a');
  expect(matcher.flush()).toBe('a');
  expect(matcher.push('b')).toEqual({ text: 'b', stopped: false });
});

test('an empty stop text is refused by its place', () => {
  expect(() => new StopMatcher(['a', ''])).toThrow(JanusError);
  expect(() => new StopMatcher(['a', ''])).toThrow(/stop\[1\]/);
});

/** The whole text at once: the match with the earliest end, then the earliest start. */
function reference(text: string, stopTexts: readonly string[]): { text: string; stopped: boolean } {
  const [first] = stopTexts
    .map((stop) => ({ start: text.indexOf(stop), end: text.indexOf(stop) + stop.length }))
    .filter(({ start }) => start >= 0)
    .sort((a, b) => a.end - b.end || a.start - b.start);
  return first ? { text: text.slice(0, first.start), stopped: true } : { text, stopped: false };
}

test('any text in any pieces with any stop texts ends as the whole text does, and holds back no more than it must', () => {
  const letters = (maxLength: number, minLength = 0) =>
    fc.string({ unit: fc.constantFrom('a', 'b', 'é', '🙂'), minLength, maxLength });
  fc.assert(
    fc.property(
      fc.array(letters(5), { maxLength: 12 }),
      fc.array(letters(5, 1), { maxLength: 4 }),
      (pieces, stopTexts) => {
        const expected = reference(pieces.join(''), stopTexts);
        const { emitted, stopped, flushed } = run(stopTexts, pieces);
        expect({ text: emitted.join('') + flushed, stopped }).toEqual(expected);
        if (!stopped) {
          const whole = pieces.join('');
          let begun = '';
          for (let start = 0; start < whole.length && begun === ''; start++) {
            if (stopTexts.some((stop) => stop.startsWith(whole.slice(start)))) begun = whole.slice(start);
          }
          expect(flushed).toBe(begun);
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test('a repetitive stop text takes linear time', () => {
  const matcher = new StopMatcher([`${'a'.repeat(20_000)}b`]);
  const started = performance.now();
  let length = 0;
  for (let i = 0; i < 400; i++) length += matcher.push('a'.repeat(500)).text.length;
  expect(length).toBe(180_000);
  expect(performance.now() - started).toBeLessThan(2_000);
});
