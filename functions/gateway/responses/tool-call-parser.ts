import { CALL_CLOSE, CALL_OPEN } from '../../../shared/protocol/tool-call-text.ts';
import { callIn, type WrittenCall } from './written-call.ts';

/** White space in front of a call that may be taken for a part of it, in UTF-16 units; what is beyond is content. */
const MAX_SPACE = 64;

/** What a piece of an answer turned out to be. */
export type AnswerPart =
  | { readonly kind: 'text'; readonly text: string }
  | ({ readonly kind: 'call' } & WrittenCall);

/** Where in the answer reading stands: in content, in a call, or in what may stand behind one. */
type Where = 'content' | 'call' | 'behind' | 'between';

/**
 * Finds the calls in the text of an answer, which comes in pieces of any cut. Only what may still become a call is held back. A
 * call is told when its object is whole, whether it is closed or not. What looks like a call and is none, or calls a
 * function that there is not, is content as it stands. White space around calls is dropped.
 */
export class ToolCallParser {
  readonly #callable: ReadonlySet<string>;
  #where: Where = 'content';
  /** Text that nothing was told of yet. */
  #held = '';
  /** In a call: how far of the held text is read, and where its object begins; -1 before it does. */
  #read = 0;
  #objectStart = -1;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  /** @param callable names of the functions that the answer may call */
  constructor(callable: readonly string[]) {
    this.#callable = new Set(callable);
  }

  /** @returns what has become certain with the next piece of the answer */
  push(text: string): AnswerPart[] {
    this.#held += text;
    const parts: AnswerPart[] = [];
    let isMore = true;
    while (isMore) isMore = this.#step(parts);
    return joined(parts);
  }

  /** @returns what was held back; to be called once, at the answer's end */
  end(): AnswerPart[] {
    const isContent = this.#where === 'content' || this.#where === 'call';
    const rest = isContent ? this.#held : '';
    this.#held = '';
    return rest === '' ? [] : [{ kind: 'text', text: rest }];
  }

  /** @returns whether more of the held text can be read */
  #step(parts: AnswerPart[]): boolean {
    switch (this.#where) {
      case 'content':
        return this.#stepContent(parts);
      case 'call':
        return this.#stepCall(parts);
      case 'behind':
        return this.#stepBehind();
      case 'between':
        return this.#stepBetween();
    }
  }

  #stepContent(parts: AnswerPart[]): boolean {
    const open = this.#held.indexOf(CALL_OPEN);
    const end = open >= 0 ? open : this.#held.length - begunLength(this.#held, CALL_OPEN);
    const content = this.#held.slice(0, end);
    const space = Math.min(content.length - content.trimEnd().length, MAX_SPACE);
    this.#tell(parts, end - space);
    if (open < 0) return false;
    this.#where = 'call';
    this.#read = space + CALL_OPEN.length;
    this.#objectStart = -1;
    this.#depth = 0;
    this.#isInString = false;
    return true;
  }

  /** Goes through a call up to the end of its object, or to where it can be none. */
  #stepCall(parts: AnswerPart[]): boolean {
    while (this.#read < this.#held.length) {
      const character = this.#held[this.#read];
      if (!this.#takes(character)) return this.#giveUp(parts);
      this.#read += 1;
      if (this.#objectStart < 0 || this.#depth > 0) continue;
      const call = callIn(this.#held.slice(this.#objectStart, this.#read), this.#callable);
      if (call === null) return this.#giveUp(parts);
      parts.push({ kind: 'call', ...call });
      this.#held = this.#held.slice(this.#read);
      this.#where = 'behind';
      return true;
    }
    return false;
  }

  /** Whether a character can stand where reading stands in a call; a tag cannot, but for in a string. */
  #takes(character: string): boolean {
    if (this.#isInString) {
      const isEscape = !this.#isEscaped && character === '\\';
      if (!this.#isEscaped && character === '"') this.#isInString = false;
      this.#isEscaped = isEscape;
      return true;
    }
    if (this.#objectStart < 0) {
      if (character !== '{') return isSpace(character);
      this.#objectStart = this.#read;
    }
    if (character === '{' || character === '[') this.#depth += 1;
    else if (character === '}' || character === ']') this.#depth -= 1;
    else if (character === '"') this.#isInString = true;
    return character !== '<';
  }

  /** What was read of a call was none: it is content. What follows may be one again. */
  #giveUp(parts: AnswerPart[]): boolean {
    this.#tell(parts, this.#read);
    this.#where = 'content';
    return true;
  }

  #stepBehind(): boolean {
    this.#held = this.#held.trimStart();
    if (this.#held.startsWith(CALL_CLOSE)) this.#held = this.#held.slice(CALL_CLOSE.length);
    else if (CALL_CLOSE.startsWith(this.#held)) return false;
    this.#where = 'between';
    return true;
  }

  #stepBetween(): boolean {
    this.#held = this.#held.trimStart();
    if (this.#held === '') return false;
    this.#where = 'content';
    return true;
  }

  /** Tells the first `length` units of the held text as content. */
  #tell(parts: AnswerPart[], length: number): void {
    if (length > 0) parts.push({ kind: 'text', text: this.#held.slice(0, length) });
    this.#held = this.#held.slice(length);
  }
}

const isSpace = (character: string): boolean => character.trim() === '';

/** Length of the longest end of `text` with which `tag` begins, without being there as a whole. */
function begunLength(text: string, tag: string): number {
  let length = Math.min(text.length, tag.length - 1);
  while (!tag.startsWith(text.slice(text.length - length))) length -= 1;
  return length;
}

/** Texts that follow each other become one. */
function joined(parts: readonly AnswerPart[]): AnswerPart[] {
  const all: AnswerPart[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (part.kind === 'text' && last?.kind === 'text') {
      all[all.length - 1] = { kind: 'text', text: last.text + part.text };
    } else {
      all.push(part);
    }
  }
  return all;
}
