import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Combiner } from '../exchange/combine.ts';
import { Lane } from '../exchange/lane.ts';
import {
  addRows,
  largestDifference,
  linearRow,
  rmsNormRow,
  rotateHead,
  routeRow,
  splitHeads,
  toRows,
} from '../runtime/testing/reference-math.ts';
import { randomNumbers } from '../runtime/testing/tiny-model.ts';
import { kernelBed } from './testing/kernel-bed.ts';

const bed = kernelBed();
const { kernels, memory } = bed;

describe('rmsNorm', () => {
  const [rows, size, epsilon] = [3, 44, 1e-6];
  const source = randomNumbers(rows * size, 1);
  const addend = randomNumbers(rows * size, 2);
  const weights = randomNumbers(size, 3);
  const sums = addRows([...source], [...addend]).map(Math.fround);

  test('adds, keeps the sum and scales each row', () => {
    const [output, sum] = [bed.room(rows * size), bed.room(rows * size)];
    kernels.rmsNorm(bed.put(source), bed.put(addend), bed.put(weights), rows, size, epsilon, output, sum);
    const expected = toRows(sums, size).flatMap((row) => rmsNormRow(row, weights, epsilon));
    expect(largestDifference(memory.floats(output, rows * size), expected)).toBeLessThan(1e-5);
    expect([...memory.floats(sum, rows * size)]).toEqual(sums);
  });

  test('works without an addend, and with the sum in the place of the source', () => {
    const expectedAlone = toRows(source, size).flatMap((row) => rmsNormRow(row, weights, epsilon));
    const output = bed.room(rows * size);
    kernels.rmsNorm(bed.put(source), 0, bed.put(weights), rows, size, epsilon, output, 0);
    expect(largestDifference(memory.floats(output, rows * size), expectedAlone)).toBeLessThan(1e-5);
    const place = bed.put(source);
    kernels.rmsNorm(place, bed.put(addend), bed.put(weights), rows, size, epsilon, output, place);
    expect([...memory.floats(place, rows * size)]).toEqual(sums);
  });

  test('copies the source where a sum is wanted without an addend', () => {
    const [output, sum] = [bed.room(rows * size), bed.room(rows * size)];
    kernels.rmsNorm(bed.put(source), 0, bed.put(weights), rows, size, epsilon, output, sum);
    expect(memory.floats(sum, rows * size).slice()).toEqual(source);
  });
});

describe('rotate', () => {
  const [rows, heads, headSize, theta] = [3, 5, 24, 10_000];
  const positions = [0, 7, 900];
  const angles = positions.flatMap((position) =>
    Array.from({ length: headSize / 2 }, (_, pair) => position * theta ** ((-2 * pair) / headSize)),
  );
  const cosines = bed.put(Float32Array.from(angles, Math.cos));
  const sines = bed.put(Float32Array.from(angles, Math.sin));
  const vectors = randomNumbers(rows * heads * headSize, 1);
  const rotated = (norm: (head: number[]) => number[]) =>
    toRows(vectors, heads * headSize).flatMap((row, index) =>
      splitHeads(row, heads).flatMap((head) => rotateHead(norm(head), positions[index]!, theta)),
    );

  test('turns each pair of a head by its position', () => {
    const place = bed.put(vectors);
    kernels.rotate(place, heads * headSize, rows, heads, headSize, cosines, sines, 0, 0);
    expect(
      largestDifference(
        memory.floats(place, vectors.length),
        rotated((head) => head),
      ),
    ).toBeLessThan(1e-5);
  });

  test('norms each head first where weights are given', () => {
    const weights = randomNumbers(headSize, 2);
    const place = bed.put(vectors);
    kernels.rotate(place, heads * headSize, rows, heads, headSize, cosines, sines, bed.put(weights), 1e-6);
    const expected = rotated((head) => rmsNormRow(head, weights, 1e-6));
    expect(largestDifference(memory.floats(place, vectors.length), expected)).toBeLessThan(1e-5);
  });

  test('leaves what lies between rows alone', () => {
    const stride = heads * headSize + 8;
    const place = bed.room(rows * stride);
    for (let row = 0; row < rows; row += 1) {
      memory
        .floats(place + 4 * row * stride, heads * headSize)
        .set(vectors.subarray(row * heads * headSize, (row + 1) * heads * headSize));
    }
    kernels.rotate(place, stride, rows, heads, headSize, cosines, sines, 0, 0);
    const all = toRows(memory.floats(place, rows * stride), stride);
    const inside = all.flatMap((row) => row.slice(0, heads * headSize));
    expect(
      largestDifference(
        inside,
        rotated((head) => head),
      ),
    ).toBeLessThan(1e-5);
    expect(all.flatMap((row) => row.slice(heads * headSize)).every(Number.isNaN)).toBe(true);
  });
});

describe('linearFloat', () => {
  test('is the f32 product, the same bits for any rows and ranges of outputs beside it', () => {
    const sizes = fc.record({
      rows: fc.integer({ min: 1, max: 7 }),
      n: fc.integer({ min: 1, max: 19 }),
      k: fc.integer({ min: 1, max: 30 }).map((quarter) => 4 * quarter),
      seed: fc.integer(),
    });
    fc.assert(
      fc.property(sizes, ({ rows, n, k, seed }) => {
        const source = randomNumbers(rows * k, seed);
        const weights = randomNumbers(n * k, seed + 1);
        const [x, w, output] = [bed.put(source), bed.put(weights), bed.room(rows * n)];
        kernels.linearFloat(x, rows, k, w, 0, n, output, n);
        const expected = toRows(source, k).flatMap((row) => linearRow(row, weights));
        const together = memory.floats(output, rows * n).slice();
        expect(largestDifference(together, expected)).toBeLessThan(1e-5);
        const apart = bed.room(rows * n);
        for (let row = 0; row < rows; row += 1) {
          const middle = n >> 1;
          kernels.linearFloat(x + 4 * row * k, 1, k, w, middle, n, apart + 4 * row * n, n);
          kernels.linearFloat(x + 4 * row * k, 1, k, w, 0, middle, apart + 4 * row * n, n);
        }
        expect(memory.floats(apart, rows * n).slice()).toEqual(together);
      }),
      { numRuns: 60 },
    );
  });
});

describe('chooseExperts', () => {
  function choose(scores: Float32Array, experts: number, k: number, normalize: 0 | 1) {
    const rows = scores.length / experts;
    const [ids, weights] = [bed.put(new Int32Array(rows * k)), bed.room(rows * k)];
    kernels.chooseExperts(bed.put(scores), rows, experts, k, normalize, ids, weights);
    return {
      ids: [...memory.integers(ids, rows * k)],
      weights: [...memory.floats(weights, rows * k)],
    };
  }

  test('picks the best experts, equals by id, with their softmax weights', () => {
    // Few distinct scores, so that there are ties.
    const cases = fc.record({
      rows: fc.integer({ min: 1, max: 4 }),
      experts: fc.integer({ min: 1, max: 70 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      levels: fc.constantFrom(2, 5, 1000),
      normalize: fc.constantFrom(0, 1),
      seed: fc.integer(),
    });
    fc.assert(
      fc.property(cases, ({ rows, experts, share, levels, normalize, seed }) => {
        const k = 1 + Math.floor(share * Math.min(experts - 1, 15));
        const scores = randomNumbers(rows * experts, seed).map((x) => (4 * Math.round(x * levels)) / levels);
        const expected = toRows(scores, experts).map((row) => routeRow(row, k, normalize === 1));
        const actual = choose(scores, experts, k, normalize as 0 | 1);
        expect(actual.ids).toEqual(expected.flatMap((row) => row.expertIds));
        const weights = expected.flatMap((row) => row.gateWeights);
        expect(largestDifference(actual.weights, weights)).toBeLessThan(1e-6);
      }),
      { numRuns: 100 },
    );
  });

  test('gives every row ids of experts, even if its scores are NaN', () => {
    const { ids, weights } = choose(new Float32Array(8).fill(Number.NaN), 8, 3, 1);
    expect(ids).toEqual([0, 1, 2]);
    expect(weights.every(Number.isNaN)).toBe(true);
  });
});

describe('moveRows', () => {
  test('gathers rows by index', () => {
    const source = randomNumbers(5 * 3, 1);
    const target = bed.room(4 * 3);
    kernels.moveRows(bed.put(source), bed.put(Int32Array.of(4, 0, 0, 2)), 4, 12, target);
    const rows = toRows(source, 3);
    expect(toRows(memory.floats(target, 12), 3)).toEqual([rows[4], rows[0], rows[0], rows[2]]);
  });
});

describe('gatherPairs', () => {
  test('gathers the rows of pairs of row and slot', () => {
    const source = randomNumbers(5 * 3, 1);
    const target = bed.room(3 * 3);
    kernels.gatherPairs(bed.put(source), bed.put(Int32Array.of(1, 6, 14)), 3, 3, 12, target);
    const rows = toRows(source, 3);
    expect(toRows(memory.floats(target, 9), 3)).toEqual([rows[0], rows[2], rows[4]]);
  });
});

describe('combine', () => {
  test('sums as the exchange does, bit for bit', () => {
    const cases = fc.record({
      rows: fc.integer({ min: 1, max: 5 }),
      expertsPerToken: fc.integer({ min: 2, max: 9 }),
      seed: fc.integer(),
    });
    const hiddenSize = 24;
    fc.assert(
      fc.property(cases, ({ rows, expertsPerToken, seed }) => {
        const pairs = rows * expertsPerToken;
        const shape = { maxRows: rows, hiddenSize, expertsPerToken };
        const lane = new Lane({ shape, instances: 2, placedInstances: 2, experts: 16 });
        lane.rows = rows;
        // Outputs of very different sizes, so that the order of the additions shows.
        const sizes = randomNumbers(pairs * hiddenSize, seed);
        lane.outputs.set(sizes.map((value) => value * 10 ** (12 * value)));
        lane.gateWeights.set(randomNumbers(pairs, seed + 1));
        const order = randomNumbers(pairs, seed + 2);
        const positions = [...order.keys()].sort((a, b) => order[a]! - order[b]!);
        lane.groups.positionOf.set(positions);
        const middle = pairs >> 1;
        lane.groups.instanceStart.set([0, 1, 2]);
        lane.groups.groupStart.set([0, middle, pairs]);

        const combiner = new Combiner(shape);
        const outputs = bed.put(lane.outputs);
        const at = bed.put(lane.groups.positionOf);
        const weights = bed.put(lane.gateWeights);
        for (const [first, instances, begin, end] of [
          [0, 2, 0, pairs],
          [0, 1, 0, middle],
          [1, 1, middle, pairs],
        ] as const) {
          const expected = new Float32Array(rows * hiddenSize);
          combiner.combine(lane, first, instances, expected);
          const output = bed.room(rows * hiddenSize);
          kernels.combine(outputs, at, weights, rows, expertsPerToken, hiddenSize, begin, end, output);
          expect(memory.floats(output, rows * hiddenSize).slice()).toEqual(expected);
        }
      }),
      { numRuns: 50 },
    );
  });
});
