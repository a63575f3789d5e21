import type { NodeId } from '../grammar.ts';
import type { ByteEdge, GrammarBuilder } from '../grammar-builder.ts';
import { type CharacterSet, characterSet, complement, intersection } from './character-set.ts';
import { oneOf } from './literals.ts';

export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;

/** Characters that JSON strings must escape. */
const ESCAPED = characterSet([
  [0, 0x1f],
  [QUOTE, QUOTE],
  [BACKSLASH, BACKSLASH],
]);
const PLAIN = complement(ESCAPED);

/** The last code points of one, two, three and four bytes in UTF-8. */
const LAST_BY_LENGTH = [0x7f, 0x7ff, 0xffff, 0x10ffff];
/** Bytes behind the first one of a character. */
const FIRST_TAIL = new Uint8Array(4).fill(0x80);
const LAST_TAIL = new Uint8Array(4).fill(0xbf);

const encoder = new TextEncoder();
const utf8 = (codePoint: number): Uint8Array => encoder.encode(String.fromCodePoint(codePoint));
const codePointsOf = (set: CharacterSet): number[] =>
  set.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));

/** What a JSON string holds as it is of a set of characters, and what it escapes. */
interface Parts {
  readonly plain: CharacterSet;
  readonly escaped: readonly number[];
}

/** Patterns repeat their sets many times. */
const knownParts = new WeakMap<CharacterSet, Parts>();

function partsOf(set: CharacterSet): Parts {
  let parts = knownParts.get(set);
  if (parts === undefined) {
    parts = { plain: intersection(set, PLAIN), escaped: codePointsOf(intersection(set, ESCAPED)) };
    knownParts.set(set, parts);
  }
  return parts;
}

/** Reads one character of `set` inside a JSON string, in the one form in which `JSON.stringify` writes it. */
export function characterEdges(builder: GrammarBuilder, set: CharacterSet, next: NodeId): ByteEdge[] {
  const { plain, escaped } = partsOf(set);
  const edges = plain.flatMap(([first, last]) => rangeEdges(builder, first, last, next));
  if (escaped.length === 0) return edges;
  const escapes = builder.remembered(`escapes ${escaped} ${next}`, () => {
    const texts = escaped.map((codePoint) => JSON.stringify(String.fromCodePoint(codePoint)).slice(2, -1));
    return [[BACKSLASH, BACKSLASH, oneOf(builder, texts, next)]];
  });
  return [...edges, ...escapes];
}

/** Reads one character of any kind inside a JSON string, in any form that JSON has for it. */
export function anyCharacterEdges(builder: GrammarBuilder, next: NodeId): ByteEdge[] {
  const plain = PLAIN.flatMap(([first, last]) => rangeEdges(builder, first, last, next));
  const short = [...'"\\/bfnrt'].map((letter): ByteEdge => edge(letter, letter, next));
  const unicode = edge('u', 'u', unicodeEscape(builder, next));
  return [...plain, [BACKSLASH, BACKSLASH, builder.bytes([...short, unicode])]];
}

const edge = (lowest: string, highest: string, target: NodeId): ByteEdge => [
  lowest.charCodeAt(0),
  highest.charCodeAt(0),
  target,
];

/** What follows `\u`: one character outside the surrogates, or a pair of those. */
function unicodeEscape(builder: GrammarBuilder, next: NodeId): NodeId {
  const anyDigit = (target: NodeId): NodeId =>
    builder.bytes([edge('0', '9', target), edge('A', 'F', target), edge('a', 'f', target)]);
  const twoDigits = (target: NodeId): NodeId => anyDigit(anyDigit(target));
  const lowDigit = builder.bytes([edge('C', 'F', twoDigits(next)), edge('c', 'f', twoDigits(next))]);
  const low = builder.literal('\\u', builder.bytes([edge('D', 'D', lowDigit), edge('d', 'd', lowDigit)]));
  const behindD = builder.bytes([
    edge('0', '7', twoDigits(next)),
    ...['8', '9', 'A', 'B', 'a', 'b'].map((digit) => edge(digit, digit, twoDigits(low))),
  ]);
  const others = [edge('0', '9', anyDigit(twoDigits(next))), ...lettersButD(anyDigit(twoDigits(next)))];
  return builder.bytes([...others, edge('D', 'D', behindD), edge('d', 'd', behindD)]);
}

const lettersButD = (target: NodeId): ByteEdge[] => [
  edge('A', 'C', target),
  edge('E', 'F', target),
  edge('a', 'c', target),
  edge('e', 'f', target),
];

/** Reads the UTF-8 of one character from `first` to `last`, between which there are no surrogates. */
function rangeEdges(builder: GrammarBuilder, first: number, last: number, next: NodeId): readonly ByteEdge[] {
  return LAST_BY_LENGTH.flatMap((longest, index) => {
    const from = Math.max(first, index === 0 ? 0 : LAST_BY_LENGTH[index - 1] + 1);
    const to = Math.min(last, longest);
    if (from > to) return [];
    if (index === 0) return [[from, to, next]];
    return builder.remembered(`range ${from} ${to} ${next}`, () =>
      sequenceEdges(builder, utf8(from), utf8(to), 0, next),
    );
  });
}

/** Reads the bytes from position `at` on of a text that lies between `low` and `high`, which are equally long. */
function sequenceEdges(
  builder: GrammarBuilder,
  low: Uint8Array,
  high: Uint8Array,
  at: number,
  next: NodeId,
): ByteEdge[] {
  const [first, last] = [low[at], high[at]];
  if (at === low.length - 1) return [[first, last, next]];
  const tail = (from: Uint8Array, to: Uint8Array): NodeId =>
    builder.bytes(
      sequenceEdges(builder, from.subarray(0, low.length), to.subarray(0, low.length), at + 1, next),
    );
  if (first === last) return [[first, first, tail(low, high)]];
  const edges: ByteEdge[] = [[first, first, tail(low, LAST_TAIL)]];
  if (first + 1 < last) edges.push([first + 1, last - 1, tail(FIRST_TAIL, LAST_TAIL)]);
  edges.push([last, last, tail(FIRST_TAIL, high)]);
  return edges;
}
