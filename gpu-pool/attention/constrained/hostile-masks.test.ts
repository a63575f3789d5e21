import { describe, expect, test } from 'vitest';
import { Automaton, type TextState } from '../../../shared/constrained/automaton.ts';
import { compileSchema } from '../../../shared/constrained/compile-schema.ts';
import { SchemaError } from '../../../shared/constrained/schema-error.ts';
import { seededRandom } from '../../../shared/placement/seeded-random.ts';
import { HOSTILE_SCHEMAS } from '../../../test/support/constrained/hostile-schemas.ts';
import { DICTIONARY_FOLDER } from '../../../test/support/test-host.ts';
import { onThread, slowestStepMs } from '../../../test/support/thread-ms.ts';
import { loadTokenizer } from '../../tokenizer/load-tokenizer.ts';
import { TokenMasks } from './token-masks.ts';
import type { TrieVocabulary } from './token-trie.ts';

const SIZE = 4_096;
const tokenizer = loadTokenizer(DICTIONARY_FOLDER, SIZE);
const shipped: TrieVocabulary = {
  size: SIZE,
  bytesOf: (id) => (tokenizer.isSpecial(id) ? new Uint8Array() : tokenizer.tokenBytes(id)),
};
/** One token's share of a step, which all sequences of an instance wait for. */
const MAX_MASK_MS = 20;
const RUNS = 2;
const TOKENS = 12;
/** A token that ends the text is drawn anew so often. */
const DRAWS = 8;

const allowedIds = (words: Uint32Array): number[] =>
  Array.from({ length: SIZE }, (_, id) => id).filter((id) => (words[id >>> 5]! >>> (id & 31)) & 1);

interface Walk {
  /** For each mask. */
  readonly times: readonly number[];
  readonly text: string;
  /** Tokens that were allowed, but are not taken. */
  readonly wrong: number;
}

/** Generates tokens that were each allowed, drawn by `seed`, as long as it goes on. */
function walk(schema: unknown, seed: number): Walk {
  const automaton = new Automaton(compileSchema(schema));
  const masks = new TokenMasks(shipped);
  const random = seededRandom(seed);
  const bytes: number[] = [];
  let state: TextState = automaton.start;
  const times: number[] = [];
  let wrong = 0;
  const draw = (ids: readonly number[]): number => ids[Math.floor(random() * ids.length)]!;
  for (let token = 0; token < TOKENS; token++) {
    const { value: mask, ms } = onThread(() => masks.of(automaton, state));
    times.push(ms);
    const ids = allowedIds(mask.words);
    expect(ids).toHaveLength(mask.count);
    if (ids.length === 0) break;
    let id = draw(ids);
    for (let again = 0; again < DRAWS && !automaton.read(state, shipped.bytesOf(id))?.open; again++)
      id = draw(ids);
    bytes.push(...shipped.bytesOf(id));
    const reached = automaton.read(state, shipped.bytesOf(id));
    if (reached === null) wrong++;
    state = reached ?? state;
  }
  return { times, wrong, text: new TextDecoder().decode(Uint8Array.from(bytes)) };
}

const followed = Object.entries(HOSTILE_SCHEMAS).filter(([, schema]) => {
  try {
    compileSchema(schema);
    return true;
  } catch (error) {
    if (error instanceof SchemaError) return false;
    throw error;
  }
});

describe('with the tokens of the shipped model', () => {
  test.each(followed)('the mask of a state of %s takes its time, and no more', (name, schema) => {
    const walks = Array.from({ length: RUNS }, () => walk(schema, 1));
    const slowestMs = slowestStepMs(walks.map(({ times }) => times));
    console.info(
      `${name}: slowest mask ${slowestMs.toFixed(2)} ms, ${JSON.stringify(walks[0]!.text.slice(0, 60))}`,
    );
    expect(slowestMs).toBeLessThan(MAX_MASK_MS);
    expect(walks.every(({ wrong }) => wrong === 0)).toBe(true);
    // The same tokens are allowed on every host, whatever it computed before.
    expect(new Set(walks.map(({ text }) => text)).size).toBe(1);
  });

  test('a text that is followed byte by byte only can still be completed', () => {
    const schema = HOSTILE_SCHEMAS['any letter so far from the end'];
    const automaton = new Automaton(compileSchema(schema));
    const text = new TextEncoder().encode(`"${'abcdefghij klmnopqrstuvwxyz'.repeat(60)}`);
    const state = automaton.read(automaton.start, text)!;
    const ids = allowedIds(new TokenMasks(shipped).of(automaton, state).words);
    expect(ids.length).toBeGreaterThan(10);
    for (const id of ids) expect(shipped.bytesOf(id)).toHaveLength(1);
    const texts = ids.map((id) => new TextDecoder().decode(shipped.bytesOf(id)));
    expect(texts).toContain('a');
    expect(texts).toContain('"');
  });
});
