import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attentionGraph } from '../runtime/graphs/attention.ts';
import { GraphSession, view } from '../runtime/session.ts';
import { largestDifference, softmaxRow } from '../runtime/testing/reference-math.ts';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import { loadKernels } from './load-kernels.ts';
import { ATTENTION_SEGMENT, attentionPartBytes, attentionScratchBytes, storedRowBytes } from './sizes.ts';
import { kernelBed } from './testing/kernel-bed.ts';

const bed = kernelBed();
const { kernels, memory } = bed;
/** What stands behind scratch memory, and shall stand there afterwards. */
const GUARD_BYTES = 64;
const GUARD = 0xab;

interface Shape {
  readonly group: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly rows: number;
  readonly length: number;
}

/** Groups of up to nine queries: one alone, whole fours, and what is left over from fours; up to three segments of positions. */
const shapes: fc.Arbitrary<Shape & { seed: number }> = fc
  .record({
    group: fc.integer({ min: 1, max: 9 }),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    headSize: fc.constantFrom(16, 32, 48, 64, 128),
    rows: fc.integer({ min: 1, max: 4 }),
    before: fc.oneof(fc.integer({ min: 0, max: 70 }), fc.integer({ min: 510, max: 1_030 })),
    seed: fc.integer(),
  })
  .map(({ before, ...shape }) => ({ ...shape, length: before + shape.rows }));

interface Sequence {
  readonly queries: Float32Array;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

function randomSequence({ group, kvHeads, headSize, rows, length }: Shape, seed: number): Sequence {
  return {
    queries: randomNumbers(rows * group * kvHeads * headSize, seed).map((value) => 3 * value),
    keys: randomNumbers(length * kvHeads * headSize, seed + 1),
    values: randomNumbers(length * kvHeads * headSize, seed + 2),
  };
}

/** Keeps rows as the cache does; returns where they lie. */
function store({ kvHeads, headSize, length }: Shape, rows: Float32Array): number {
  const target = bed.room((length * storedRowBytes(kvHeads, headSize)) / 4);
  kernels.storeRows(bed.put(rows), length, kvHeads, headSize, target);
  return target;
}

/** The numbers that stored rows stand for. */
function kept(shape: Shape, rows: Float32Array): Float32Array {
  const { kvHeads, headSize, length } = shape;
  const rowBytes = storedRowBytes(kvHeads, headSize);
  const at = store(shape, rows);
  const result = new Float32Array(rows.length);
  for (let row = 0; row < length; row++) {
    const scales = memory.floats(at + row * rowBytes, kvHeads);
    const codes = at + (row + 1) * rowBytes - 2 * kvHeads * headSize;
    const words = new Int32Array(memory.memory.buffer, codes, (kvHeads * headSize) / 2);
    for (const [i, word] of words.entries()) {
      const number = row * kvHeads * headSize + 8 * Math.floor(i / 4) + (i % 4);
      const scale = scales[Math.floor((2 * i) / headSize)]!;
      result[number] = scale * (word << 16);
      result[number + 4] = scale * word;
    }
  }
  return result;
}

const keptOf = (shape: Shape, { queries, keys, values }: Sequence): Sequence => ({
  queries,
  keys: kept(shape, keys),
  values: kept(shape, values),
});

/** Runs `attend` for each range of key-value heads in turn. */
function attend(
  shape: Shape,
  { queries, keys, values }: Sequence,
  ranges: readonly (readonly [begin: number, end: number])[] = [[0, shape.kvHeads]],
): Float32Array {
  const { group, kvHeads, headSize, rows, length } = shape;
  const output = bed.room(queries.length);
  const scratchBytes = attentionScratchBytes(group * kvHeads, kvHeads, headSize);
  const scratch = memory.allocate(scratchBytes + GUARD_BYTES);
  const guard = memory.bytes(scratch + scratchBytes, GUARD_BYTES).fill(GUARD);
  const [q, k, v] = [bed.put(queries), store(shape, keys), store(shape, values)];
  for (const [begin, end] of ranges) {
    kernels.attend(
      q,
      rows,
      k,
      v,
      length,
      begin,
      end,
      group * kvHeads,
      kvHeads,
      headSize,
      1 / Math.sqrt(headSize),
      output,
      scratch,
    );
  }
  expect(guard.every((byte) => byte === GUARD)).toBe(true);
  return memory.floats(output, queries.length).slice();
}

/** Attention of one row by segments, each taken by itself, the last one first. */
function attendBySegments(shape: Shape, { queries, keys, values }: Sequence): Float32Array {
  const { group, kvHeads, headSize, length } = shape;
  const heads = group * kvHeads;
  const output = bed.room(queries.length);
  const segments = Math.ceil(length / ATTENTION_SEGMENT);
  const partsBytes = segments * attentionPartBytes(heads, kvHeads, headSize);
  const parts = memory.allocate(partsBytes + GUARD_BYTES);
  const guard = memory.bytes(parts + partsBytes, GUARD_BYTES).fill(GUARD);
  const scratch = memory.allocate(attentionScratchBytes(heads, kvHeads, headSize));
  const [q, k, v] = [bed.put(queries), store(shape, keys), store(shape, values)];
  const scale = 1 / Math.sqrt(headSize);
  for (let segment = segments - 1; segment >= 0; segment--) {
    const range = [segment, segment + 1] as const;
    kernels.attendSegments(q, k, v, length, ...range, heads, kvHeads, headSize, scale, parts, scratch);
  }
  kernels.joinSegments(parts, length, heads, kvHeads, headSize, output, scratch);
  expect(guard.every((byte) => byte === GUARD)).toBe(true);
  return memory.floats(output, queries.length).slice();
}

function expectRowsAsDecoded(shape: Shape, sequence: Sequence): void {
  const whole = attend(shape, sequence);
  const width = shape.group * shape.kvHeads * shape.headSize;
  for (let row = 0; row < shape.rows; row += 1) {
    const queries = sequence.queries.slice(row * width, (row + 1) * width);
    const seen = shape.length - shape.rows + row + 1;
    const alone = attend({ ...shape, rows: 1, length: seen }, { ...sequence, queries });
    expect(whole.slice(row * width, (row + 1) * width)).toEqual(alone);
  }
}

describe('attend', () => {
  test('is causal attention of the newest rows over the whole cache', () => {
    fc.assert(
      fc.property(shapes, ({ seed, ...shape }) => {
        const sequence = randomSequence(shape, seed);
        const expected = reference(shape, keptOf(shape, sequence));
        expect(largestDifference(attend(shape, sequence), expected)).toBeLessThan(1e-5);
      }),
      { numRuns: 40 },
    );
  });

  test('agrees with ONNX Runtime over a long cache', () => {
    const shape = { group: 4, kvHeads: 4, headSize: 64, rows: 3, length: 1001 };
    const sequence = randomSequence(shape, 1);
    const [heads, width] = [16, 256];
    const session = GraphSession.create(
      'attention',
      attentionGraph('attention', { attentionHeads: heads, keyValueHeads: 4, headSize: 64 }),
    );
    const held = keptOf(shape, sequence);
    const expected = new Float32Array(sequence.queries.length);
    session.run(
      {
        queries: view(sequence.queries, 1, shape.rows, 4 * width),
        keys: view(held.keys, 1, shape.length, width),
        values: view(held.values, 1, shape.length, width),
      },
      { attended: view(expected, 1, shape.rows, 4 * width) },
    );
    session.release();
    expect(largestDifference(attend(shape, sequence), expected)).toBeLessThan(1e-5);
  });

  test('gives each row of a chunk what decoding that position gives, bit for bit', () => {
    fc.assert(
      fc.property(shapes, ({ seed, ...shape }) => {
        expectRowsAsDecoded(shape, randomSequence(shape, seed));
      }),
      { numRuns: 40 },
    );
  });

  // 32 queries of a head are computed together.
  test.each([1, 2, 3, 40])('does so where a chunk is long: %i queries per head', (group) => {
    const shape = { group, kvHeads: 2, headSize: 48, rows: 37, length: 101 };
    expectRowsAsDecoded(shape, randomSequence(shape, 7));
  });

  test('does so where the rows of a tile see different segments', () => {
    const shape = { group: 3, kvHeads: 2, headSize: 32, rows: 50, length: 2 * ATTENTION_SEGMENT + 20 };
    expectRowsAsDecoded(shape, randomSequence(shape, 10));
  });

  test('lets no row see a NaN that comes later', () => {
    const shape = { group: 2, kvHeads: 1, headSize: 16, rows: 6, length: 9 };
    const sequence = randomSequence(shape, 8);
    sequence.keys[6 * 16] = Number.NaN;
    sequence.values[6 * 16] = Number.NaN;
    const output = attend(shape, sequence);
    expect(output.subarray(0, 3 * 32).every(Number.isFinite)).toBe(true);
    expect(output.subarray(3 * 32).every(Number.isNaN)).toBe(true);
  });

  test.each([1, 3, 7, 8, 9, 16, 21])('reads nothing behind a cache of %i positions', (length) => {
    for (const group of [1, 2, 4, 6]) {
      const shape = { group, kvHeads: 2, headSize: 16, rows: 1, length };
      const sequence = randomSequence(shape, 9);
      const rowsBytes = length * storedRowBytes(2, 16);
      const edge = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
      const end = edge.buffer.byteLength - rowsBytes;
      const [queries, output, keys, scratch] = [1024, 4096, 8192, 65_536];
      const bytes = new Uint8Array(edge.buffer);
      bytes.set(memory.bytes(bed.put(sequence.queries), 4 * sequence.queries.length), queries);
      bytes.set(memory.bytes(store(shape, sequence.keys), rowsBytes), keys);
      bytes.set(memory.bytes(store(shape, sequence.values), rowsBytes), end);
      const atEdge = loadKernels(edge, bed.module);
      atEdge.attend(queries, 1, keys, end, length, 0, 2, 2 * group, 2, 16, 0.25, output, scratch);
      const result = new Float32Array(edge.buffer, output, sequence.queries.length);
      expect(result).toEqual(attend(shape, sequence));
    }
  });

  test('gives the same bits when the heads are shared out', () => {
    const shape = { group: 3, kvHeads: 5, headSize: 32, rows: 2, length: 77 };
    const sequence = randomSequence(shape, 2);
    const parts = [
      [3, 5],
      [0, 1],
      [1, 3],
    ] as const;
    expect(attend(shape, sequence, parts)).toEqual(attend(shape, sequence));
  });

  test('gives the same bits when the segments of a row are shared out', () => {
    fc.assert(
      fc.property(shapes, ({ seed, ...shape }) => {
        const decoding = { ...shape, rows: 1 };
        const sequence = randomSequence(decoding, seed);
        expect(attendBySegments(decoding, sequence)).toEqual(attend(decoding, sequence));
      }),
      { numRuns: 40 },
    );
  });

  test.each([3, 700])(
    'joins segments whose scores are far apart, the largest of them at position %i',
    (position) => {
      const shape = { group: 2, kvHeads: 1, headSize: 16, rows: 1, length: 1_200 };
      const sequence = randomSequence(shape, 5);
      sequence.queries.fill(100);
      sequence.keys.fill(-100);
      sequence.keys.fill(100, position * 16, (position + 1) * 16);
      const { values } = keptOf(shape, sequence);
      const expected = [0, 1].flatMap(() => [...values.subarray(position * 16, (position + 1) * 16)]);
      expect(largestDifference(attend(shape, sequence), expected)).toBeLessThan(1e-6);
    },
  );

  test('holds scores that are far apart', () => {
    const shape = { group: 4, kvHeads: 1, headSize: 16, rows: 1, length: 40 };
    const sequence = randomSequence(shape, 3);
    sequence.queries.fill(100);
    sequence.keys.fill(-100);
    sequence.keys.fill(100, 7 * 16, 8 * 16);
    const { values } = keptOf(shape, sequence);
    const expected = [0, 1, 2, 3].flatMap(() => [...values.subarray(7 * 16, 8 * 16)]);
    expect(largestDifference(attend(shape, sequence), expected)).toBeLessThan(1e-6);
  });

  test('lets a NaN in the cache show in the heads that see it', () => {
    const shape = { group: 2, kvHeads: 2, headSize: 16, rows: 1, length: 9 };
    const sequence = randomSequence(shape, 4);
    sequence.keys[3 * 32 + 1] = Number.NaN;
    const output = attend(shape, sequence);
    expect(output.subarray(0, 32).every(Number.isNaN)).toBe(true);
    expect(output.subarray(32).every(Number.isFinite)).toBe(true);
  });
});

describe('stored rows', () => {
  const shape = { group: 1, kvHeads: 3, headSize: 32, rows: 1, length: 20 };
  const width = shape.kvHeads * shape.headSize;

  test('hold numbers to half a step of the largest of their head', () => {
    const rows = randomNumbers(shape.length * width, 5).map((value, i) => value * 10 ** ((i >> 5) % 7));
    const held = kept(shape, rows);
    for (let head = 0; head < shape.length * shape.kvHeads; head++) {
      const numbers = rows.subarray(head * shape.headSize, (head + 1) * shape.headSize);
      const largest = Math.max(...numbers.map(Math.abs));
      const stands = held.subarray(head * shape.headSize, (head + 1) * shape.headSize);
      expect(largestDifference(stands, numbers)).toBeLessThan((0.501 * largest) / 32_767);
    }
  });

  test('hold zeros, and numbers too small for a scale, as zeros', () => {
    const rows = new Float32Array(shape.length * width).fill(1e-35, width);
    expect(kept(shape, rows).every((value) => value === 0)).toBe(true);
  });

  test('make a head with an infinity NaN where it is read', () => {
    const rows = randomNumbers(shape.length * width, 6);
    rows[width + 1] = Number.POSITIVE_INFINITY;
    const held = kept(shape, rows);
    expect(held.subarray(width, width + 32).some(Number.isNaN)).toBe(true);
    expect(held.subarray(width + 32).every(Number.isFinite)).toBe(true);
  });
});

/** Causal attention in plain loops over f64 numbers. */
function reference(
  { group, kvHeads, headSize, rows, length }: Shape,
  { queries, keys, values }: Sequence,
): number[] {
  const output: number[] = [];
  for (let row = 0; row < rows; row += 1) {
    for (let head = 0; head < group * kvHeads; head += 1) {
      const at = (row * group * kvHeads + head) * headSize;
      const start = Math.floor(head / group) * headSize;
      const scores = Array.from({ length: length - rows + row + 1 }, (_, position) => {
        let score = 0;
        for (let index = 0; index < headSize; index += 1) {
          score += queries[at + index]! * keys[position * kvHeads * headSize + start + index]!;
        }
        return score / Math.sqrt(headSize);
      });
      const weights = softmaxRow(scores);
      for (let index = 0; index < headSize; index += 1) {
        let sum = 0;
        for (let position = 0; position < weights.length; position += 1) {
          sum += weights[position]! * values[position * kvHeads * headSize + start + index]!;
        }
        output.push(sum);
      }
    }
  }
  return output;
}
