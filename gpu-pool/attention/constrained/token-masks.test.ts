import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Automaton, type TextState } from '../../../shared/constrained/automaton.ts';
import { compileSchema } from '../../../shared/constrained/compile-schema.ts';
import { schemaCases } from '../../../test/support/constrained/schemas.ts';
import { DICTIONARY_FOLDER } from '../../../test/support/test-host.ts';
import { loadTokenizer } from '../../tokenizer/load-tokenizer.ts';
import { copyAllowed } from '../sampling/allowed-tokens.ts';
import { TokenMasks } from './token-masks.ts';
import type { TrieVocabulary } from './token-trie.ts';

const SIZE = 4096;
const tokenizer = loadTokenizer(DICTIONARY_FOLDER, SIZE);
const shipped: TrieVocabulary = {
  size: SIZE,
  bytesOf: (id) => (tokenizer.isSpecial(id) ? new Uint8Array() : tokenizer.tokenBytes(id)),
};

const idsOf = (words: Uint32Array): number[] =>
  Array.from({ length: SIZE }, (_, id) => id).filter((id) => (words[id >>> 5] >>> (id & 31)) & 1);

/** Every token tried by itself. */
const bruteForce = (automaton: Automaton, state: TextState): number[] =>
  Array.from({ length: SIZE }, (_, id) => id).filter((id) => {
    const bytes = shipped.bytesOf(id);
    return bytes.length > 0 && automaton.read(state, bytes) !== null;
  });

describe('the mask of a state, with the tokens of the shipped model', () => {
  test('is what trying every token gives, along random answers to random schemas', () => {
    const masks = new TokenMasks(shipped);
    let states = 0;
    fc.assert(
      fc.property(schemaCases(2), fc.array(fc.nat(), { maxLength: 12 }), ({ schema }, picks) => {
        const automaton = new Automaton(compileSchema(schema));
        let state = automaton.start;
        for (const pick of picks) {
          const { words, count } = masks.of(automaton, state);
          const ids = idsOf(words);
          expect(ids).toEqual(bruteForce(automaton, state));
          expect(count).toBe(ids.length);
          states++;
          if (ids.length === 0) return;
          state = automaton.read(state, shipped.bytesOf(ids[pick % ids.length]!))!;
        }
      }),
      { numRuns: 60 },
    );
    expect(states).toBeGreaterThan(150);
  });

  test('is empty exactly where nothing can follow', () => {
    const automaton = new Automaton(compileSchema({ const: 'end' }));
    const end = automaton.read(automaton.start, new TextEncoder().encode('"end"'))!;
    expect(new TokenMasks(shipped).of(automaton, end).count).toBe(0);
  });
});

/** Words of lower-case letters, single bytes, and some JSON. */
function largeVocabulary(size: number): TrieVocabulary {
  const tokens: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  for (const text of ['{"', '":', '": "', '", "', '"}', '},{', 'true', 'null'])
    tokens.push(Buffer.from(text));
  for (let number = 0; tokens.length < size; number++) {
    const word = (number + 26 ** 3)
      .toString(26)
      .replace(/\d/g, (digit) => String.fromCharCode(113 + Number(digit)));
    tokens.push(Buffer.from(number % 2 === 0 ? ` ${word}` : word));
  }
  return { size, bytesOf: (id) => tokens[id]! };
}

describe('with 32,000 tokens', () => {
  const vocabulary = largeVocabulary(32_000);
  const masks = new TokenMasks(vocabulary);
  const schema = {
    properties: { a: { type: 'string', maxLength: 5_000 }, b: { type: 'integer' } },
    required: ['a', 'b'],
  };
  const automaton = new Automaton(compileSchema(schema));
  const inside = (length: number) =>
    automaton.read(automaton.start, new TextEncoder().encode(`{"a":"${'x'.repeat(length)}`))!;
  const fastest = (runs: number, run: (index: number) => void): number => {
    const times = Array.from({ length: runs }, (_, index) => {
      const startedAt = performance.now();
      run(index);
      return performance.now() - startedAt;
    });
    return Math.min(...times);
  };

  test('a kept mask and its use take less than a millisecond, a new one less than thirty', () => {
    const states = Array.from({ length: 20 }, (_, index) => inside(index));
    const missMs = fastest(20, (index) => masks.of(automaton, states[index]!));
    const logits = new Float32Array(vocabulary.size).fill(1);
    const out = new Float32Array(vocabulary.size);
    const hitMs = fastest(20, (index) => {
      const { words } = masks.of(automaton, states[index]!);
      copyAllowed(logits, { words, endIds: [] }, out);
    });
    console.info(`mask: hit ${hitMs.toFixed(3)} ms, miss ${missMs.toFixed(3)} ms`);
    expect(hitMs).toBeLessThan(1);
    expect(missMs).toBeLessThan(30);
  });
});

test('no more masks are kept than there is room for, and those used last stay', () => {
  const vocabulary = { size: 256, bytesOf: (id: number) => Uint8Array.of(id) };
  const masks = new TokenMasks(vocabulary);
  const automaton = new Automaton(compileSchema({ type: 'string', maxLength: 10_000 }));
  const { words } = masks.of(automaton, automaton.start);
  let state = automaton.read(automaton.start, Uint8Array.of(0x22))!;
  for (let length = 0; length < 5_000; length++) {
    masks.of(automaton, state);
    state = automaton.next(state, 0x61)!;
    expect(masks.of(automaton, automaton.start).words).toBe(words);
  }
  expect(masks.kept).toBe(4_096);
});
