import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { KvCache } from './kv-cache.ts';
import { CacheMemoryError } from './slot-buffers.ts';

const LAYERS = 2;
const WIDTH = 3;
const CONTEXT = 200;
const BYTES_PER_TOKEN = LAYERS * WIDTH * 2 * 4;
const newCache = (slots = 2) =>
  new KvCache({ slots, layers: LAYERS, kvWidth: WIDTH, contextLength: CONTEXT });

/** `[rows, WIDTH]`, each number telling where it belongs. */
const rowsFrom = (first: number, rows: number, layer: number, sign: number) =>
  Float32Array.from({ length: rows * WIDTH }, (_, i) => sign * (first * WIDTH + i + 1 + layer * 10_000));

describe('slots', () => {
  test('are handed out until none is free, and again after release', () => {
    const cache = newCache();
    const first = cache.acquire(10);
    const second = cache.acquire(10);
    expect(new Set([first, second])).toEqual(new Set([0, 1]));
    expect(cache.acquire(10)).toBe(-1);
    expect(cache.inUse).toBe(2);
    cache.release(first);
    expect(cache.inUse).toBe(1);
    expect(cache.acquire(10)).toBe(first);
  });

  test('start empty, whoever had them before', () => {
    const cache = newCache(1);
    const slot = cache.acquire(5);
    cache.append(slot, 0, rowsFrom(0, 2, 0, 1), rowsFrom(0, 2, 0, -1), 0, 2);
    cache.advance(slot, 2);
    cache.release(slot);
    expect(cache.length(cache.acquire(5))).toBe(0);
  });

  test('cannot be released twice, or read when free', () => {
    const cache = newCache();
    expect(() => cache.release(0)).toThrow(/slot 0 holds no sequence/);
    const slot = cache.acquire(1);
    cache.release(slot);
    expect(() => cache.release(slot)).toThrow(RangeError);
    expect(() => cache.keys(slot, 0)).toThrow(RangeError);
    expect(() => cache.length(slot)).toThrow(RangeError);
    expect(() => cache.release(7)).toThrow(RangeError);
    expect(cache.inUse).toBe(0);
  });

  test.each([0, CONTEXT + 1, 1.5, Number.NaN])('refuse a sequence of %d tokens', (tokens) => {
    const cache = newCache();
    expect(() => cache.acquire(tokens)).toThrow(JanusError);
    expect(cache.inUse).toBe(0);
  });
});

test('a slot that finds no memory takes what free slots keep', () => {
  let left = 2 * LAYERS * 128 * WIDTH;
  const cache = new KvCache(
    { slots: 2, layers: LAYERS, kvWidth: WIDTH, contextLength: CONTEXT },
    {
      allocate: (floats) => {
        if (floats > left) throw new Error('full');
        left -= floats;
        return new Float32Array(floats);
      },
      free: (buffer) => {
        left += buffer.length;
      },
    },
  );
  const [first, second] = [cache.acquire(64), cache.acquire(64)];
  expect(() => {
    cache.release(first);
    cache.acquire(128);
  }).toThrow(CacheMemoryError);
  cache.release(second);
  expect(cache.acquire(128)).toBeGreaterThanOrEqual(0);
  expect(cache.bytesInUse).toBe(128 * BYTES_PER_TOKEN);
});

describe('rows', () => {
  test('of a step in progress are seen with extraRows, and belong to the sequence after advance', () => {
    const cache = newCache();
    const slot = cache.acquire(10);
    const source = Float32Array.of(0, 0, 0, 1, 2, 3, 4, 5, 6);
    const negated = source.map((value) => -value);
    cache.append(slot, 1, source, negated, 1, 2);
    expect([...cache.keys(slot, 1)]).toEqual([]);
    expect([...cache.keys(slot, 1, 2)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...cache.values(slot, 1, 2)]).toEqual([-1, -2, -3, -4, -5, -6]);
    cache.advance(slot, 2);
    expect(cache.length(slot)).toBe(2);
    expect([...cache.keys(slot, 1)]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('of a step that is redone overwrite those of the first try', () => {
    const cache = newCache();
    const slot = cache.acquire(10);
    cache.append(slot, 0, Float32Array.of(9, 9, 9), Float32Array.of(9, 9, 9), 0, 1);
    cache.append(slot, 0, Float32Array.of(1, 2, 3), Float32Array.of(4, 5, 6), 0, 1);
    cache.advance(slot, 1);
    expect([...cache.keys(slot, 0)]).toEqual([1, 2, 3]);
    expect([...cache.values(slot, 0)]).toEqual([4, 5, 6]);
  });

  test('come as views of the cache, not as copies', () => {
    const cache = newCache();
    const slot = cache.acquire(10);
    expect(cache.keys(slot, 0, 1).buffer).toBe(cache.keys(slot, 0, 2).buffer);
    expect(cache.keys(slot, 0, 1).buffer).not.toBe(cache.values(slot, 0, 1).buffer);
  });

  test('beyond the capacity asked for are refused, though the buffer might hold them', () => {
    const cache = newCache();
    const slot = cache.acquire(3);
    const four = new Float32Array(4 * WIDTH);
    expect(() => cache.append(slot, 0, four, four, 0, 4)).toThrow(/acquired for 3 tokens; 4 do not fit/);
    expect(() => cache.advance(slot, 4)).toThrow(RangeError);
    expect(() => cache.values(slot, 0, 4)).toThrow(RangeError);
    cache.append(slot, 0, four, four, 0, 3);
    cache.advance(slot, 3);
    expect(() => cache.append(slot, 0, four, four, 0, 1)).toThrow(RangeError);
  });

  test('outside of the source, and layers that do not exist, are refused', () => {
    const cache = newCache();
    const slot = cache.acquire(5);
    const two = new Float32Array(2 * WIDTH);
    expect(() => cache.append(slot, 0, two, two, 1, 2)).toThrow(/Rows 1 to 3/);
    expect(() => cache.append(slot, 0, two, two.subarray(1), 0, 2)).toThrow(RangeError);
    expect(() => cache.append(slot, 0, two, two, -1, 1)).toThrow(RangeError);
    expect(() => cache.append(slot, LAYERS, two, two, 0, 1)).toThrow(/Layer 2/);
    expect(() => cache.keys(slot, -1)).toThrow(RangeError);
  });
});

describe('blocks', () => {
  const TOKENS = 4;
  const newBlock = () => new Float32Array(LAYERS * 2 * TOKENS * WIDTH);
  /** A slot with tokens 0 to 9. */
  const filled = (cache: KvCache) => {
    const slot = cache.acquire(10);
    for (let layer = 0; layer < LAYERS; layer++) {
      cache.append(slot, layer, rowsFrom(0, 10, layer, 1), rowsFrom(0, 10, layer, -1), 0, 10);
    }
    cache.advance(slot, 10);
    return slot;
  };

  test('carry tokens of all layers from one sequence to another, whole or in parts', () => {
    const cache = newCache();
    const source = filled(cache);
    const [first, second] = [newBlock(), newBlock()];
    cache.copyBlock(source, 1, first);
    cache.copyBlock(source, 5, second);
    const target = cache.acquire(6);
    cache.appendBlock(target, first, 0, 1);
    cache.appendBlock(target, first, 1, TOKENS);
    cache.appendBlock(target, second, 0, 2);
    expect(cache.length(target)).toBe(6);
    for (let layer = 0; layer < LAYERS; layer++) {
      expect(cache.keys(target, layer)).toEqual(rowsFrom(1, 6, layer, 1));
      expect(cache.values(target, layer)).toEqual(rowsFrom(1, 6, layer, -1));
    }
  });

  test('take complete tokens only, and give no more than there is room for or they hold', () => {
    const cache = newCache();
    const source = filled(cache);
    const block = newBlock();
    expect(() => cache.copyBlock(source, 7, block)).toThrow(/10 complete tokens, not those from 7 to 11/);
    expect(() => cache.copyBlock(source, -1, block)).toThrow(RangeError);
    expect(() => cache.copyBlock(1, 0, block)).toThrow(/holds no sequence/);
    const target = cache.acquire(3);
    expect(() => cache.appendBlock(target, block, 0, TOKENS)).toThrow(/acquired for 3 tokens; 4 do not fit/);
    expect(() => cache.appendBlock(target, block, 3, TOKENS + 1)).toThrow(/outside of a block of 4/);
    expect(() => cache.appendBlock(target, block, -1, 1)).toThrow(RangeError);
    expect(() => cache.appendBlock(target, block, 2, 1)).toThrow(RangeError);
    expect(cache.length(target)).toBe(0);
  });
});

describe('memory', () => {
  test('comes from where it is told, and goes back there when it is too small', () => {
    const memory = new Float32Array(2 ** 14);
    let used = 0;
    const given = new Set<Float32Array>();
    const allocate = (floats: number) => {
      if (used + floats > memory.length) throw new Error('the region is full');
      const buffer = memory.subarray(used, used + floats);
      used += floats;
      given.add(buffer);
      return buffer;
    };
    const shape = { slots: 1, layers: LAYERS, kvWidth: WIDTH, contextLength: 100 * CONTEXT };
    const cache = new KvCache(shape, { allocate, free: (buffer) => given.delete(buffer) });
    const floats = () => [...given].reduce((sum, buffer) => sum + buffer.length, 0);
    cache.release(cache.acquire(10));
    const slot = cache.acquire(CONTEXT);
    expect(cache.keys(slot, 1, 1).buffer).toBe(memory.buffer);
    expect(4 * floats()).toBe(cache.bytesInUse);
    cache.release(slot);
    // The keys of one layer would still fit.
    expect(() => cache.acquire(10 * CONTEXT)).toThrow(/No memory for a KV cache/);
    expect([floats(), cache.bytesInUse, cache.inUse]).toEqual([0, 0, 0]);
  });

  test('is taken when a slot is first needed, and kept', () => {
    const cache = newCache();
    expect(cache.bytesInUse).toBe(0);
    expect(cache.maxBytes).toBe(2 * CONTEXT * BYTES_PER_TOKEN);
    const slot = cache.acquire(100);
    const bytes = cache.bytesInUse;
    expect(bytes).toBeGreaterThanOrEqual(100 * BYTES_PER_TOKEN);
    const { buffer } = cache.keys(slot, 0, 1);
    cache.release(slot);
    expect(cache.bytesInUse).toBe(bytes);
    expect(cache.keys(cache.acquire(60), 0, 1).buffer).toBe(buffer);
    expect(cache.bytesInUse).toBe(bytes);
  });

  test('goes to the sequence that it fits best', () => {
    const cache = newCache(3);
    const [large, small] = [cache.acquire(CONTEXT), cache.acquire(10)];
    cache.release(large);
    cache.release(small);
    expect(cache.acquire(10)).toBe(small);
    expect(cache.acquire(150)).toBe(large);
  });

  test('that the machine does not have is an error that says what to do, and the slot stays free', () => {
    const cache = new KvCache({ slots: 1, layers: 1, kvWidth: 2 ** 40, contextLength: 100 });
    expect(() => cache.acquire(100)).toThrow(/shorten the prompt or lower max_tokens/);
    expect([cache.inUse, cache.bytesInUse]).toEqual([0, 0]);
  });
});

const operation = fc.oneof(
  fc.record({ kind: fc.constant('acquire' as const), tokens: fc.integer({ min: 1, max: CONTEXT }) }),
  fc.record({ kind: fc.constant('step' as const), which: fc.nat(), rows: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('release' as const), which: fc.nat() }),
);

test('any history: every sequence reads exactly what was appended to it, within the bounds', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const cache = newCache(3);
      /** slot → capacity and length. */
      const model = new Map<number, { capacity: number; length: number; start: number }>();
      let start = 0;
      for (const one of operations) {
        const slots = [...model.keys()];
        if (one.kind === 'acquire') {
          const slot = cache.acquire(one.tokens);
          expect(slot === -1).toBe(slots.length === 3);
          if (slot >= 0) {
            expect(model.has(slot)).toBe(false);
            model.set(slot, { capacity: one.tokens, length: 0, start: start++ * 1000 });
          }
        } else if (slots.length > 0) {
          const slot = slots[one.which % slots.length];
          const sequence = model.get(slot)!;
          if (one.kind === 'release') {
            cache.release(slot);
            model.delete(slot);
          } else {
            const rows = Math.min(one.rows, sequence.capacity - sequence.length);
            const first = sequence.start + sequence.length;
            for (let layer = 0; layer < LAYERS; layer++) {
              // The step's batch holds two rows of somebody else in front.
              const keys = rowsFrom(first - 2, rows + 2, layer, 1);
              cache.append(slot, layer, keys, rowsFrom(first - 2, rows + 2, layer, -1), 2, rows);
            }
            cache.advance(slot, rows);
            sequence.length += rows;
          }
        }
        expect(cache.inUse).toBe(model.size);
        expect(cache.bytesInUse).toBeLessThanOrEqual(cache.maxBytes);
      }
      for (const [slot, { length, start: first }] of model) {
        for (let layer = 0; layer < LAYERS; layer++) {
          expect(cache.keys(slot, layer)).toEqual(rowsFrom(first, length, layer, 1));
          expect(cache.values(slot, layer)).toEqual(rowsFrom(first, length, layer, -1));
        }
      }
    }),
  );
});
