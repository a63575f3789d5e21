import { describe, expect, test } from 'vitest';
import type { LinearWeights } from '../matrix.ts';
import { GraphSession, type TensorView, view } from '../session.ts';
import {
  addRows,
  attentionRows,
  expertRow,
  largestDifference,
  linearRow,
  rmsNormRow,
  rotateHead,
  routeRow,
  splitHeads,
  toRows,
} from '../testing/reference-math.ts';
import { randomNumbers } from '../testing/tiny-model.ts';
import { attentionGraph } from './attention.ts';
import { embeddingGraph } from './embedding.ts';
import { expertGraph } from './expert.ts';
import { headGraph } from './head.ts';
import { postGraph } from './post.ts';
import { preGraph } from './pre.ts';

const TOLERANCE = 1e-5;
const EPSILON = 1e-6;
const f32 = { form: 'f32' } as const;
const [rows, hiddenSize, heads, keyValueHeads, headSize] = [3, 10, 4, 2, 6];
const queryWidth = heads * headSize;
const keyWidth = keyValueHeads * headSize;

function matrix(outputSize: number, inputSize: number, seed: number): LinearWeights {
  return { outputSize, inputSize, weights: randomNumbers(outputSize * inputSize, seed) };
}

function runOnce(
  build: (name: string) => Uint8Array,
  inputs: Record<string, TensorView>,
  outputs: Record<string, TensorView>,
): void {
  const session = GraphSession.create('under test', build('under test'));
  session.run(inputs, outputs);
  session.release();
}

describe('embedding graph', () => {
  const tokenIds = { tokenIds: view(Int32Array.of(2, 0, 2), 3) };

  test('picks rows of an f32 table', () => {
    const residual = new Float32Array(6);
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    runOnce((name) => embeddingGraph(name, 3, 2, { type: 'float32', data }), tokenIds, {
      residual: view(residual, 3, 2),
    });
    expect([...residual]).toEqual([5, 6, 1, 2, 5, 6]);
  });

  test('widens the bytes of a bfloat16 table exactly', () => {
    const residual = new Float32Array(3);
    const data = Uint8Array.of(0x80, 0x3f, 0, 0, 0x49, 0xc0); // 1, 0, −3.140625
    runOnce((name) => embeddingGraph(name, 3, 1, { type: 'bfloat16', data }), tokenIds, {
      residual: view(residual, 3, 1),
    });
    expect([...residual]).toEqual([-3.140625, 1, -3.140625]);
  });
});

describe('pre graph', () => {
  const positions = [0, 7, 3];
  const theta = 1_000;
  const residual = randomNumbers(rows * hiddenSize, 1);
  const moeOutput = randomNumbers(rows * hiddenSize, 2);
  const norm = { weights: randomNumbers(hiddenSize, 3), epsilon: EPSILON };
  const query = matrix(queryWidth, hiddenSize, 4);
  const key = matrix(keyWidth, hiddenSize, 5);
  const value = matrix(keyWidth, hiddenSize, 6);
  const headNorms = {
    queryNorm: { weights: randomNumbers(headSize, 7), epsilon: EPSILON },
    keyNorm: { weights: randomNumbers(headSize, 8), epsilon: EPSILON },
  };
  const rotation = (turn: (angle: number) => number): TensorView => {
    const pairs = positions.flatMap((position) =>
      Array.from({ length: headSize / 2 }, (_, pair) => turn(position * theta ** ((-2 * pair) / headSize))),
    );
    return view(Float32Array.from(pairs), 1, rows, headSize / 2);
  };

  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])('adds the expert output: %s, norms each head: %s', (addsMoeOutput, normsHeads) => {
    const queries = new Float32Array(rows * queryWidth);
    const keys = new Float32Array(rows * keyWidth);
    const values = new Float32Array(rows * keyWidth);
    const nextResidual = new Float32Array(rows * hiddenSize);
    const shape = { hiddenSize, attentionHeads: heads, keyValueHeads, headSize, addsMoeOutput };
    const weights = { norm, query, key, value, ...(normsHeads ? headNorms : {}) };
    runOnce(
      (name) => preGraph(name, shape, weights, f32),
      {
        residual: view(residual, 1, rows, hiddenSize),
        cos: rotation(Math.cos),
        sin: rotation(Math.sin),
        ...(addsMoeOutput && { moeOutput: view(moeOutput, 1, rows, hiddenSize) }),
      },
      {
        queries: view(queries, 1, rows, queryWidth),
        keys: view(keys, 1, rows, keyWidth),
        values: view(values, 1, rows, keyWidth),
        ...(addsMoeOutput && { nextResidual: view(nextResidual, 1, rows, hiddenSize) }),
      },
    );

    const before = toRows(residual, hiddenSize);
    const summed = toRows(moeOutput, hiddenSize).map((row, t) => addRows(row, before[t]!));
    const stream = addsMoeOutput ? summed : before;
    const inputs = stream.map((row) => rmsNormRow(row, norm.weights, EPSILON));
    const rotated = (layer: LinearWeights, count: number, headNorm: Float32Array): number[] =>
      inputs.flatMap((input, t) =>
        splitHeads(linearRow(input, layer.weights), count).flatMap((head) =>
          rotateHead(normsHeads ? rmsNormRow(head, headNorm, EPSILON) : head, positions[t]!, theta),
        ),
      );
    const expectedValues = inputs.flatMap((input) => linearRow(input, value.weights));
    expect(largestDifference(queries, rotated(query, heads, headNorms.queryNorm.weights))).toBeLessThan(
      TOLERANCE,
    );
    expect(largestDifference(keys, rotated(key, keyValueHeads, headNorms.keyNorm.weights))).toBeLessThan(
      TOLERANCE,
    );
    expect(largestDifference(values, expectedValues)).toBeLessThan(TOLERANCE);
    if (addsMoeOutput) expect(largestDifference(nextResidual, summed.flat())).toBeLessThan(TOLERANCE);
  });
});

describe('attention graph', () => {
  const length = 9;
  const keys = randomNumbers(length * keyWidth, 11);
  const values = randomNumbers(length * keyWidth, 12);

  test.each([
    ['decodes one row over all positions', 1, length],
    ['prefills a whole prompt', length, length],
    ['prefills a chunk: its last row sees all positions, its first the fewest', 4, length],
    ['starts a sequence', 1, 1],
  ])('%s', (_, newRows, positions) => {
    const queries = randomNumbers(newRows * queryWidth, 10);
    const attended = new Float32Array(newRows * queryWidth);
    runOnce(
      (name) => attentionGraph(name, { attentionHeads: heads, keyValueHeads, headSize }),
      {
        queries: view(queries, 1, newRows, queryWidth),
        keys: view(keys, 1, positions, keyWidth),
        values: view(values, 1, positions, keyWidth),
      },
      { attended: view(attended, 1, newRows, queryWidth) },
    );
    const expected = attentionRows(
      toRows(queries, queryWidth),
      toRows(keys, keyWidth).slice(0, positions),
      toRows(values, keyWidth).slice(0, positions),
      heads,
      keyValueHeads,
    );
    expect(largestDifference(attended, expected.flat())).toBeLessThan(TOLERANCE);
  });
});

describe('post graph', () => {
  const experts = 7;
  const expertsPerToken = 3;
  const attended = randomNumbers(rows * queryWidth, 21);
  const residual = randomNumbers(rows * hiddenSize, 22);
  const output = matrix(hiddenSize, queryWidth, 23);
  const norm = { weights: randomNumbers(hiddenSize, 24), epsilon: EPSILON };

  function run(gate: LinearWeights, normalizeGateWeights: boolean) {
    const hidden = new Float32Array(rows * hiddenSize);
    const nextResidual = new Float32Array(rows * hiddenSize);
    const expertIds = new Int32Array(rows * expertsPerToken);
    const gateWeights = new Float32Array(rows * expertsPerToken);
    runOnce(
      (name) => postGraph(name, { output, norm, gate }, { expertsPerToken, normalizeGateWeights }, f32),
      { attended: view(attended, rows, queryWidth), residual: view(residual, rows, hiddenSize) },
      {
        nextResidual: view(nextResidual, rows, hiddenSize),
        hidden: view(hidden, rows, hiddenSize),
        expertIds: view(expertIds, rows, expertsPerToken),
        gateWeights: view(gateWeights, rows, expertsPerToken),
      },
    );
    return { hidden, nextResidual, expertIds, gateWeights };
  }

  test.each([true, false])('routes; gate weights normalised: %s', (normalize) => {
    const gate = matrix(experts, hiddenSize, 25);
    const actual = run(gate, normalize);
    const stream = toRows(attended, queryWidth).map((row, t) =>
      addRows(linearRow(row, output.weights), toRows(residual, hiddenSize)[t]!),
    );
    const hidden = stream.map((row) => rmsNormRow(row, norm.weights, EPSILON));
    const routes = hidden.map((row) => routeRow(linearRow(row, gate.weights), expertsPerToken, normalize));
    expect(largestDifference(actual.nextResidual, stream.flat())).toBeLessThan(TOLERANCE);
    expect(largestDifference(actual.hidden, hidden.flat())).toBeLessThan(TOLERANCE);
    expect([...actual.expertIds]).toEqual(routes.flatMap((route) => route.expertIds));
    const weights = routes.flatMap((route) => route.gateWeights);
    expect(largestDifference(actual.gateWeights, weights)).toBeLessThan(TOLERANCE);
  });

  test('picks the lowest ids among equally likely experts', () => {
    const gate = {
      outputSize: experts,
      inputSize: hiddenSize,
      weights: new Float32Array(experts * hiddenSize),
    };
    const { expertIds, gateWeights } = run(gate, true);
    expect([...expertIds]).toEqual(new Array(rows).fill([0, 1, 2]).flat());
    expect(largestDifference(gateWeights, new Array(rows * expertsPerToken).fill(1 / 3))).toBeLessThan(
      TOLERANCE,
    );
  });
});

test('expert graph computes SwiGLU', () => {
  const inner = 14;
  const weights = {
    gate: matrix(inner, hiddenSize, 31),
    up: matrix(inner, hiddenSize, 32),
    down: matrix(hiddenSize, inner, 33),
  };
  const input = randomNumbers(rows * hiddenSize, 34);
  const output = new Float32Array(rows * hiddenSize);
  runOnce(
    (name) => expertGraph(name, weights, f32),
    { input: view(input, rows, hiddenSize) },
    { output: view(output, rows, hiddenSize) },
  );
  const { gate, up, down } = weights;
  const expected = toRows(input, hiddenSize).flatMap((row) =>
    expertRow(row, gate.weights, up.weights, down.weights),
  );
  expect(largestDifference(output, expected)).toBeLessThan(TOLERANCE);
});

test('head graph gives the logits of the chosen rows in their order', () => {
  const vocabularySize = 13;
  const residual = randomNumbers(rows * hiddenSize, 41);
  const moeOutput = randomNumbers(rows * hiddenSize, 42);
  const norm = { weights: randomNumbers(hiddenSize, 43), epsilon: EPSILON };
  const vocabulary = matrix(vocabularySize, hiddenSize, 44);
  const logits = new Float32Array(2 * vocabularySize);
  runOnce(
    (name) => headGraph(name, norm, vocabulary, f32),
    {
      residual: view(residual, rows, hiddenSize),
      moeOutput: view(moeOutput, rows, hiddenSize),
      rowIndices: view(Int32Array.of(2, 0), 2),
    },
    { logits: view(logits, 2, vocabularySize) },
  );
  const expected = [2, 0].flatMap((row) => {
    const sum = addRows(toRows(residual, hiddenSize)[row]!, toRows(moeOutput, hiddenSize)[row]!);
    return linearRow(rmsNormRow(sum, norm.weights, EPSILON), vocabulary.weights);
  });
  expect(largestDifference(logits, expected)).toBeLessThan(TOLERANCE);
});
