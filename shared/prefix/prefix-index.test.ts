import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { BLOCK_TOKENS } from './block-key.ts';
import { NO_BLOCK, PrefixIndex } from './prefix-index.ts';

const MOST_BLOCKS = 8;

/** Tokens of a chain whose blocks are told apart by one letter each. */
const chain = (letters: string): number[] =>
  [...letters].flatMap((letter) =>
    Array.from({ length: BLOCK_TOKENS }, (_, i) => letter.charCodeAt(0) * 100 + i),
  );

/** Number of blocks of a chain that are kept. */
const kept = (index: PrefixIndex, letters: string): number =>
  index.match(chain(letters), MOST_BLOCKS, new Int32Array(MOST_BLOCKS));

/** Keeps a chain as the prefix cache does, and returns its blocks. */
function keep(index: PrefixIndex, letters: string): number[] {
  const tokens = chain(letters);
  const path = new Int32Array(MOST_BLOCKS);
  let depth = index.match(tokens, MOST_BLOCKS, path);
  index.touch(path, depth);
  for (; depth < letters.length; depth++) {
    const block = index.insert(depth === 0 ? NO_BLOCK : path[depth - 1], tokens, depth * BLOCK_TOKENS);
    if (block === NO_BLOCK) break;
    path[depth] = block;
  }
  return [...path.subarray(0, depth)];
}

describe('a chain', () => {
  test('is found as far as it is kept and the tokens agree, whole blocks only', () => {
    const index = new PrefixIndex(10);
    keep(index, 'abc');
    expect(['abc', 'abcd', 'abd', 'a', 'b', ''].map((letters) => kept(index, letters))).toEqual([
      3, 3, 2, 1, 0, 0,
    ]);
    const path = new Int32Array(MOST_BLOCKS);
    expect(index.match(chain('abc').slice(0, -1), MOST_BLOCKS, path)).toBe(2);
    expect(index.match(chain('abc'), 1, path)).toBe(1);
    expect(index.match(chain('abc'), MOST_BLOCKS, new Int32Array(2))).toBe(2);
  });

  test('shares its blocks with chains that begin like it, and with no others', () => {
    const index = new PrefixIndex(10);
    const [first, second] = keep(index, 'ab');
    expect(keep(index, 'abc').slice(0, 2)).toEqual([first, second]);
    expect(keep(index, 'ad')[0]).toBe(first);
    expect(keep(index, 'xb')).not.toContain(second);
    expect(index.size).toBe(6);
  });

  test('is not found where only the hashes agree', () => {
    const index = new PrefixIndex(10, () => 7);
    expect(keep(index, 'ab')).toHaveLength(1);
    expect([kept(index, 'a'), kept(index, 'b'), kept(index, 'aa')]).toEqual([1, 0, 1]);
  });

  test('that does not fit is kept as far as it does', () => {
    const index = new PrefixIndex(3);
    expect(keep(index, 'abcde')).toHaveLength(3);
    expect(kept(index, 'abcde')).toBe(3);
    expect(index.evictions).toBe(0);
  });
});

describe('eviction', () => {
  test('takes the least recently used chain, its last block first', () => {
    const index = new PrefixIndex(5);
    keep(index, 'abc');
    keep(index, 'xy');
    keep(index, 'n');
    expect([kept(index, 'abc'), kept(index, 'xy'), kept(index, 'n')]).toEqual([2, 2, 1]);
    keep(index, 'ab');
    keep(index, 'op');
    expect([kept(index, 'ab'), kept(index, 'xy'), kept(index, 'n'), kept(index, 'op')]).toEqual([2, 0, 1, 2]);
    expect(index.evictions).toBe(3);
  });

  test('spares a beginning that another chain still uses', () => {
    const index = new PrefixIndex(3);
    keep(index, 'ab');
    keep(index, 'ac');
    keep(index, 'ad');
    expect([kept(index, 'ab'), kept(index, 'ac'), kept(index, 'ad')]).toEqual([1, 2, 2]);
  });

  test('gives the number of the block that went to the one that came', () => {
    const index = new PrefixIndex(2);
    const [first, second] = keep(index, 'ab');
    expect(keep(index, 'c')).toEqual([second]);
    expect(keep(index, 'de').toSorted()).toEqual([first, second].toSorted());
  });

  test('sets in earlier when there is no memory for more blocks, even for the first', () => {
    const index = new PrefixIndex(10);
    keep(index, 'ab');
    index.stopGrowing();
    keep(index, 'cd');
    expect([index.size, index.capacity, kept(index, 'ab'), kept(index, 'cd')]).toEqual([2, 2, 0, 2]);
    const none = new PrefixIndex(10);
    none.stopGrowing();
    expect(keep(none, 'a')).toEqual([]);
  });
});

test.each([0, -1, 1.5, Number.NaN])('a capacity of %d is refused', (capacity) => {
  expect(() => new PrefixIndex(capacity)).toThrow(JanusError);
});

/** The same policy said plainly: a list of kept beginnings, most recently used first. */
class PlainIndex {
  order: string[] = [];
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  kept(letters: string): number {
    const missing = [...letters].findIndex((_, i) => !this.order.includes(letters.slice(0, i + 1)));
    return missing < 0 ? letters.length : missing;
  }

  use(letters: string): number {
    const depth = this.kept(letters);
    const used = [...letters.slice(0, depth)].map((_, i) => letters.slice(0, i + 1));
    this.order = [...used, ...this.order.filter((beginning) => !used.includes(beginning))];
    return depth;
  }

  keep(letters: string): void {
    for (let depth = this.use(letters); depth < letters.length; depth++) {
      const parent = letters.slice(0, depth);
      if (this.order.length === this.capacity) {
        if (this.order.at(-1) === parent) return;
        this.order.pop();
      }
      const behind = depth === 0 ? 0 : this.order.indexOf(parent) + 1;
      this.order.splice(behind, 0, letters.slice(0, depth + 1));
    }
  }
}

const history = fc.array(
  fc.record({
    keep: fc.boolean(),
    letters: fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 }),
  }),
  { maxLength: 40 },
);

test('any history: what is kept is what the plain policy keeps, every block behind its parent, within the bound', () => {
  fc.assert(
    fc.property(history, fc.integer({ min: 1, max: 12 }), (uses, capacity) => {
      const index = new PrefixIndex(capacity);
      const plain = new PlainIndex(capacity);
      const chains = [...new Set(uses.map(({ letters }) => letters))];
      for (const one of uses) {
        if (one.keep) {
          keep(index, one.letters);
          plain.keep(one.letters);
        } else {
          const path = new Int32Array(MOST_BLOCKS);
          index.touch(path, index.match(chain(one.letters), MOST_BLOCKS, path));
          plain.use(one.letters);
        }
        expect(index.size).toBeLessThanOrEqual(capacity);
        for (const letters of chains) expect(kept(index, letters)).toBe(plain.kept(letters));
        for (const beginning of plain.order) {
          expect(beginning.length === 1 || plain.order.includes(beginning.slice(0, -1))).toBe(true);
        }
      }
    }),
  );
});
