import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { BLOCK_TOKENS } from '../../shared/prefix/block-key.ts';
import { KvCache } from './kv-cache.ts';
import { PrefixCache, type PrefixCacheOptions } from './prefix-cache.ts';

const LAYERS = 2;
const WIDTH = 3;
const CONTEXT = 5 * BLOCK_TOKENS + 10;
const BLOCK_BYTES = LAYERS * 2 * BLOCK_TOKENS * WIDTH * 4;

/** `[rows, WIDTH]`: a row tells its layer and, as the model's would, the tokens up to its own. */
function rowsOf(tokens: readonly number[], from: number, layer: number): Float32Array {
  let beginning = layer + 1;
  const rows = tokens.map((id) => {
    beginning = (beginning * 31 + id) % 999_983;
    return beginning;
  });
  return Float32Array.from(rows.slice(from).flatMap((row) => [row, row + 0.25, row + 0.5]));
}

class Bed {
  readonly cache = new KvCache({ slots: 2, layers: LAYERS, kvWidth: WIDTH, contextLength: CONTEXT });
  readonly prefixes: PrefixCache;

  constructor(blocks: number, options: Partial<PrefixCacheOptions> = {}) {
    const { cache } = this;
    this.prefixes = new PrefixCache({ cache, maxBytes: blocks * BLOCK_BYTES, ...options });
  }

  /** Puts rows of a sequence's tokens into `slot`, from where it is to `end`. */
  fill(slot: number, tokens: readonly number[], end: number): void {
    const from = this.cache.length(slot);
    for (let layer = 0; layer < LAYERS; layer++) {
      const keys = rowsOf(tokens, from, layer);
      this.cache.append(
        slot,
        layer,
        keys,
        keys.map((value) => -value),
        0,
        end - from,
      );
    }
    this.cache.advance(slot, end - from);
  }

  /** A step of a sequence. */
  compute(slot: number, tokens: readonly number[], end = tokens.length): void {
    const rows = end - this.cache.length(slot);
    this.fill(slot, tokens, end);
    this.prefixes.store(slot, tokens, rows);
  }

  /** A sequence from its beginning to its end, in one step; returns how many tokens it did not compute. */
  run(tokens: readonly number[]): number {
    const slot = this.cache.acquire(tokens.length);
    const restored = this.prefixes.restore(slot, tokens);
    expect(this.cache.length(slot)).toBe(restored);
    this.compute(slot, tokens);
    this.expectRows(slot, tokens);
    this.cache.release(slot);
    return restored;
  }

  expectRows(slot: number, tokens: readonly number[]): void {
    for (let layer = 0; layer < LAYERS; layer++) {
      const rows = rowsOf(tokens, 0, layer);
      expect(this.cache.keys(slot, layer)).toEqual(rows);
      expect(this.cache.values(slot, layer)).toEqual(rows.map((value) => -value));
    }
  }
}

/** `count` token ids; each `first` gives others. */
const ids = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, i) => first * 1_000 + i);

describe('a sequence that begins like an earlier one', () => {
  test('goes on behind its last common block', () => {
    const bed = new Bed(10);
    expect(bed.run(ids(200))).toBe(0);
    expect(bed.run([...ids(150), ...ids(50, 1)])).toBe(2 * BLOCK_TOKENS);
    expect(bed.run([...ids(BLOCK_TOKENS - 1), ...ids(100, 2)])).toBe(0);
    expect(bed.prefixes.statistics).toMatchObject({ hits: 1, hitTokens: 128, evictions: 0 });
    expect(bed.prefixes.statistics.missTokens).toBe(200 + (200 - 128) + (BLOCK_TOKENS - 1 + 100));
  });

  test.each([
    [true, 1],
    [false, 2],
  ])(
    'computes its end even when all of its blocks are kept (exact single rows %s: %d)',
    (exactSingleRows, end) => {
      const bed = new Bed(10, { exactSingleRows });
      bed.run(ids(2 * BLOCK_TOKENS));
      expect(bed.run(ids(2 * BLOCK_TOKENS))).toBe(2 * BLOCK_TOKENS - end);
      expect(bed.run(ids(BLOCK_TOKENS))).toBe(BLOCK_TOKENS - end);
      expect(bed.run(ids(1))).toBe(0);
    },
  );

  test('goes on in the middle of its prompt, and of a block, when another has overtaken it', () => {
    const bed = new Bed(10);
    const tokens = ids(3 * BLOCK_TOKENS + 20);
    const slot = bed.cache.acquire(tokens.length);
    bed.compute(slot, tokens, BLOCK_TOKENS + 9);
    expect(bed.prefixes.restore(slot, tokens)).toBe(0);
    bed.run(tokens);
    expect(bed.prefixes.restore(slot, tokens)).toBe(2 * BLOCK_TOKENS - 9);
    expect(bed.prefixes.restore(slot, tokens)).toBe(0);
    bed.compute(slot, tokens);
    bed.expectRows(slot, tokens);
  });
});

describe('what is kept', () => {
  test('are the blocks that are complete so far, each once', () => {
    const bed = new Bed(10);
    const tokens = ids(3 * BLOCK_TOKENS);
    const slot = bed.cache.acquire(tokens.length);
    bed.compute(slot, tokens, 2 * BLOCK_TOKENS - 1);
    expect(bed.prefixes.statistics).toMatchObject({ blocks: 1, bytes: BLOCK_BYTES });
    bed.compute(slot, tokens);
    expect(bed.prefixes.statistics).toMatchObject({ blocks: 3, bytes: 3 * BLOCK_BYTES });
    const other = bed.cache.acquire(tokens.length);
    bed.compute(other, tokens);
    expect(bed.prefixes.statistics).toMatchObject({ blocks: 3, bytes: 3 * BLOCK_BYTES });
  });

  test.each([
    [true, 3],
    [false, 1],
  ])(
    'has rows that were computed alone, and what came behind them, only where they are exact (%s)',
    (exactSingleRows, blocks) => {
      const bed = new Bed(10, { exactSingleRows });
      const tokens = ids(3 * BLOCK_TOKENS);
      const slot = bed.cache.acquire(tokens.length);
      for (const end of [70, 71, 150, 3 * BLOCK_TOKENS]) bed.compute(slot, tokens, end);
      expect(bed.prefixes.statistics.blocks).toBe(blocks);
      bed.cache.release(slot);
      expect(bed.run([...tokens, 1, 2])).toBe(blocks * BLOCK_TOKENS);
      expect(bed.prefixes.statistics.blocks).toBe(3);
    },
  );

  test('stays within the bound; what was used last stays', () => {
    const bed = new Bed(4);
    for (let i = 0; i < 20; i++) bed.run(ids(2 * BLOCK_TOKENS + 2, i));
    const { blocks, bytes, maxBytes, evictions } = bed.prefixes.statistics;
    expect([blocks, bytes, evictions]).toEqual([4, 4 * BLOCK_BYTES, 36]);
    expect(bytes).toBeLessThanOrEqual(maxBytes);
    expect(bed.run(ids(2 * BLOCK_TOKENS + 2, 19))).toBe(2 * BLOCK_TOKENS);
    expect(bed.run(ids(2 * BLOCK_TOKENS + 2, 0))).toBe(0);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('has no %d in it, nor what comes behind', (number) => {
    const bed = new Bed(10);
    const tokens = ids(3 * BLOCK_TOKENS);
    const slot = bed.cache.acquire(tokens.length);
    bed.fill(slot, tokens, tokens.length);
    bed.cache.values(slot, LAYERS - 1)[(2 * BLOCK_TOKENS - 1) * WIDTH] = number;
    bed.prefixes.store(slot, tokens, tokens.length);
    bed.cache.release(slot);
    expect(bed.run(tokens)).toBe(BLOCK_TOKENS);
  });

  test('takes memory when it needs it, and makes do with what the machine has', () => {
    let allocated = 0;
    const allocate = (floats: number) => {
      if (allocated === 3) throw new RangeError('Array buffer allocation failed');
      allocated++;
      return new Float32Array(floats);
    };
    const bed = new Bed(10, { allocate });
    expect(allocated).toBe(0);
    bed.run(ids(BLOCK_TOKENS));
    expect(allocated).toBe(1);
    for (let i = 1; i < 5; i++) bed.run(ids(2 * BLOCK_TOKENS + 2, i));
    expect(bed.prefixes.statistics.blocks).toBe(3);
    expect(bed.run(ids(2 * BLOCK_TOKENS + 2, 4))).toBe(2 * BLOCK_TOKENS);
  });
});

test.each([0, BLOCK_BYTES - 1, Number.NaN])('a bound of %d bytes is refused with what to do', (maxBytes) => {
  const { cache } = new Bed(1);
  expect(() => new PrefixCache({ cache, maxBytes })).toThrow(JanusError);
  expect(() => new PrefixCache({ cache, maxBytes })).toThrow(/--prefix-cache-mib/);
});

test('any history: every sequence has the rows that it would have computed', () => {
  /** Blocks, named by one of three letters, and a rest. */
  const prompt = fc.tuple(fc.array(fc.nat(2), { maxLength: 5 }), fc.integer({ min: 1, max: 10 }));
  fc.assert(
    fc.property(fc.array(prompt, { maxLength: 25 }), fc.integer({ min: 1, max: 8 }), (prompts, blocks) => {
      const bed = new Bed(blocks);
      for (const [letters, rest] of prompts) {
        bed.run([...letters.flatMap((letter) => ids(BLOCK_TOKENS, letter)), ...ids(rest, 9)]);
        expect(bed.prefixes.statistics.blocks).toBeLessThanOrEqual(blocks);
      }
    }),
    { numRuns: 50 },
  );
});
