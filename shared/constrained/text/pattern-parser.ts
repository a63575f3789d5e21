import { MAX_PATTERN_LENGTH, MAX_REPETITIONS } from '../limits.ts';
import { type CharacterSet, characterSet, complement } from './character-set.ts';

export type Pattern =
  | { readonly kind: 'character'; readonly set: CharacterSet }
  | { readonly kind: 'sequence'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'choice'; readonly options: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly body: Pattern; readonly least: number; readonly most: number };

/** One of the alternatives at the top of a pattern. */
export interface Alternative {
  readonly body: Pattern;
  /** True: nothing may come before it (`^`), or behind it (`$`). */
  readonly fromStart: boolean;
  readonly toEnd: boolean;
}

/** Throws an error that says what of a pattern is wrong or not supported. */
export type Refuse = (problem: string) => never;

const DIGITS = characterSet([[0x30, 0x39]]);
const WORD = characterSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
const SPACE = characterSet([
  ...[0x20, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff].map(
    (point) => [point, point] as const,
  ),
  [0x09, 0x0d],
  [0x2000, 0x200a],
]);
const LINE_ENDS = characterSet([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);
const CLASS_ESCAPES: Readonly<Record<string, CharacterSet>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROL_ESCAPES: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, '0': 0 };
const QUANTIFIERS: Readonly<Record<string, readonly [number, number]>> = {
  '*': [0, Number.POSITIVE_INFINITY],
  '+': [1, Number.POSITIVE_INFINITY],
  '?': [0, 1],
};

/**
 * Parses a regular expression of ECMA 262 in Unicode mode, as JSON Schema takes them, as far as it is regular: no
 * references back, no looking around, no `\b`, no `\p`, and `^` and `$` only around the alternatives at the top.
 */
export function parsePattern(source: string, refuse: Refuse): Alternative[] {
  if (source.length > MAX_PATTERN_LENGTH) refuse(`must have at most ${MAX_PATTERN_LENGTH} characters`);
  if (!source.isWellFormed()) refuse('contains half a UTF-16 surrogate pair, which is not valid Unicode');
  try {
    new RegExp(source, 'u');
  } catch {
    refuse('is not a regular expression in Unicode mode');
  }
  return new PatternParser(source, refuse).parse();
}

/** Recursive descent. What JavaScript has found to be an expression is not checked again. */
class PatternParser {
  readonly #characters: readonly string[];
  readonly #refuse: Refuse;
  #at = 0;

  constructor(source: string, refuse: Refuse) {
    this.#characters = [...source];
    this.#refuse = refuse;
  }

  parse(): Alternative[] {
    const alternatives: Alternative[] = [];
    do {
      const fromStart = this.#take('^');
      const body = this.#sequence();
      const toEnd = this.#take('$');
      if (this.#at < this.#characters.length && this.#next !== '|') this.#refuseAnchor();
      alternatives.push({ body, fromStart, toEnd });
    } while (this.#take('|'));
    return alternatives;
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(character: string): boolean {
    if (this.#next !== character) return false;
    this.#at++;
    return true;
  }

  #refuseAnchor(): never {
    return this.#refuse("has '^' or '$' elsewhere than at the beginning or the end, which is not supported");
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    for (let next = this.#next; next !== undefined && !'|)$'.includes(next); next = this.#next) {
      parts.push(this.#quantified(this.#atom()));
    }
    return { kind: 'sequence', parts };
  }

  #atom(): Pattern {
    const character = this.#characters[this.#at++];
    if (character === '(') return this.#group();
    if (character === '^') return this.#refuseAnchor();
    return { kind: 'character', set: this.#set(character) };
  }

  #set(character: string): CharacterSet {
    if (character === '.') return complement(LINE_ENDS);
    if (character === '[') return this.#class();
    if (character === '\\') return this.#escape();
    return single(character.codePointAt(0)!);
  }

  #group(): Pattern {
    if (this.#take('?') && !this.#take(':')) {
      const named = this.#take('<') && this.#next !== '=' && this.#next !== '!';
      if (!named)
        this.#refuse("has a group that begins with '(?', of which only '(?:' and names are supported");
      while (!this.#take('>')) this.#at++;
    }
    const options = [this.#sequence()];
    while (this.#take('|')) options.push(this.#sequence());
    if (!this.#take(')')) this.#refuseAnchor();
    return { kind: 'choice', options };
  }

  #quantified(body: Pattern): Pattern {
    const quantifier = this.#quantifier();
    if (quantifier === undefined) return body;
    const [least, most] = quantifier;
    // A lazy quantifier matches the same texts.
    this.#take('?');
    const largest = most === Number.POSITIVE_INFINITY ? least : most;
    if (largest > MAX_REPETITIONS) this.#refuse(`repeats more than ${MAX_REPETITIONS} times`);
    return { kind: 'repeat', body, least, most };
  }

  #quantifier(): readonly [number, number] | undefined {
    const next = this.#next;
    if (next === undefined) return undefined;
    if (next in QUANTIFIERS) {
      this.#at++;
      return QUANTIFIERS[next];
    }
    if (!this.#take('{')) return undefined;
    const least = this.#number();
    const most = this.#take(',') ? (this.#next === '}' ? Number.POSITIVE_INFINITY : this.#number()) : least;
    this.#take('}');
    return [least, most];
  }

  #number(): number {
    const start = this.#at;
    while (this.#next !== undefined && /\d/.test(this.#next)) this.#at++;
    return Number(this.#characters.slice(start, this.#at).join(''));
  }

  #class(): CharacterSet {
    const excludes = this.#take('^');
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take(']')) {
      const from = this.#classAtom();
      const isRange = this.#next === '-' && this.#characters[this.#at + 1] !== ']';
      if (!isRange) {
        ranges.push(...from);
        continue;
      }
      this.#at++;
      ranges.push([from[0][0], this.#classAtom()[0][0]]);
    }
    return excludes ? complement(characterSet(ranges)) : characterSet(ranges);
  }

  #classAtom(): CharacterSet {
    const character = this.#characters[this.#at++];
    if (character !== '\\') return single(character.codePointAt(0)!);
    return this.#take('b') ? single(8) : this.#escape();
  }

  /** What follows a backslash. */
  #escape(): CharacterSet {
    const letter = this.#characters[this.#at++];
    if (letter in CLASS_ESCAPES) return CLASS_ESCAPES[letter];
    if (letter in CONTROL_ESCAPES) return single(CONTROL_ESCAPES[letter]);
    if (letter === 'c') return single(this.#characters[this.#at++].codePointAt(0)! % 32);
    if (letter === 'x') return single(this.#hexadecimal(2));
    if (letter === 'u') return this.#unicodeEscape();
    if (/[1-9kbBpP]/.test(letter)) return this.#refuse(`has '\\${letter}', which is not supported`);
    return single(letter.codePointAt(0)!);
  }

  #unicodeEscape(): CharacterSet {
    if (this.#take('{')) {
      const end = this.#characters.indexOf('}', this.#at);
      const point = this.#hexadecimal(end - this.#at);
      this.#at++;
      return this.#character(point);
    }
    const unit = this.#hexadecimal(4);
    const isPair =
      unit >= 0xd800 && unit < 0xdc00 && this.#next === '\\' && this.#characters[this.#at + 1] === 'u';
    if (!isPair) return this.#character(unit);
    this.#at += 2;
    return this.#character(String.fromCharCode(unit, this.#hexadecimal(4)).codePointAt(0)!);
  }

  #character(codePoint: number): CharacterSet {
    const set = characterSet([[codePoint, codePoint]]);
    return set.length === 0 ? this.#refuse('names half a surrogate pair, which is no character') : set;
  }

  #hexadecimal(length: number): number {
    const digits = this.#characters.slice(this.#at, this.#at + length).join('');
    this.#at += length;
    return Number.parseInt(digits, 16);
  }
}

const single = (codePoint: number): CharacterSet => characterSet([[codePoint, codePoint]]);
