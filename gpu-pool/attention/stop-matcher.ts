import { JanusError } from '../../shared/errors/janus-error.ts';

export interface StopMatch {
  /** Text that is certain not to be part of a stop text; may be ''. */
  readonly text: string;
  /** True from the push on in which a stop text was completed. */
  readonly stopped: boolean;
}

/** Progress through one stop text. */
interface Pattern {
  readonly text: string;
  /** `borders[n]`: length of the longest proper prefix of the first n + 1 characters that is also their suffix. */
  readonly borders: Int32Array;
  /** Number of characters of `text` that the stream ends with. */
  matched: number;
}

/**
 * Ends an answer at its first stop text, however the text is split into pushes. All stop texts are matched at once, one
 * character at a time (Knuth, Morris and Pratt, 1977), so the time is linear whatever the stop texts look like.
 *
 * First is the match that is *completed* first in the stream, and among those completed by the same character the one that
 * starts first. So with the stop texts `abcd` and `bc`, `xabcd` ends as `xa`: a choice by the start would have to
 * wait for text that may never come.
 *
 * Held back is the longest end of the text that may begin a stop text: less than the longest of them.
 */
export class StopMatcher {
  readonly #patterns: readonly Pattern[];
  #held = '';
  #stopped = false;

  /** @throws JanusError if a stop text is empty */
  constructor(stopTexts: readonly string[]) {
    const empty = stopTexts.indexOf('');
    if (empty >= 0) throw new JanusError(`stop[${empty}] is empty: give a text, or leave it out.`);
    this.#patterns = stopTexts.map((text) => ({ text, borders: bordersOf(text), matched: 0 }));
  }

  /** Takes the next piece of the answer. What follows a completed stop text is dropped. */
  push(text: string): StopMatch {
    if (this.#stopped) return { text: '', stopped: true };
    for (let i = 0; i < text.length; i++) {
      const completed = this.#step(text.charCodeAt(i));
      if (completed === 0) continue;
      const seen = this.#held + text.slice(0, i + 1);
      this.#held = '';
      this.#stopped = true;
      return { text: seen.slice(0, seen.length - completed), stopped: true };
    }
    const seen = this.#held + text;
    const certain = seen.length - this.#longestBegun();
    this.#held = seen.slice(certain);
    return { text: seen.slice(0, certain), stopped: false };
  }

  /** Gives out what was held back, at the end of an answer that no stop text ended. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    for (const pattern of this.#patterns) pattern.matched = 0;
    return text;
  }

  /** Advances every stop text by one character and returns the length of the longest one completed, or 0. */
  #step(character: number): number {
    let completed = 0;
    for (const pattern of this.#patterns) {
      pattern.matched = extend(pattern.text, pattern.borders, pattern.matched, character);
      if (pattern.matched === pattern.text.length) completed = Math.max(completed, pattern.matched);
    }
    return completed;
  }

  #longestBegun(): number {
    let longest = 0;
    for (const pattern of this.#patterns) longest = Math.max(longest, pattern.matched);
    return longest;
  }
}

/** Length of the longest prefix of `text` that ends the stream after `character`, if `matched` was it before. */
function extend(text: string, borders: Int32Array, matched: number, character: number): number {
  let length = matched;
  while (length > 0 && text.charCodeAt(length) !== character) length = borders[length - 1];
  return text.charCodeAt(length) === character ? length + 1 : 0;
}

function bordersOf(text: string): Int32Array {
  const borders = new Int32Array(text.length);
  for (let end = 1; end < text.length; end++) {
    borders[end] = extend(text, borders, borders[end - 1], text.charCodeAt(end));
  }
  return borders;
}
