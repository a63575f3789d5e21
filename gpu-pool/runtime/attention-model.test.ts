import { describe, expect, test } from 'vitest';
import type { ModelConfig } from '../../shared/model/config.ts';
import { AttentionModel } from './attention-model.ts';
import { ExpertModel } from './expert-model.ts';
import { largestDifference } from './testing/reference-math.ts';
import { randomWeights, referenceLogits, tinyConfig } from './testing/tiny-model.ts';
import { weightFormats } from './weights.ts';

const MAX_ROWS = 8;
const TOLERANCE = 1e-4;

/** The model with its experts and KV caches; arrays that other threads would see lie in shared memory. */
class Harness {
  readonly model: AttentionModel;
  readonly #config: ModelConfig;
  readonly #experts: ExpertModel;
  readonly #caches: { keys: Float32Array; values: Float32Array; length: number }[][] = [];
  readonly #hidden: Float32Array;
  readonly #expertIds: Int32Array;
  readonly #gateWeights: Float32Array;

  constructor(config: ModelConfig, sequences: number) {
    const weights = randomWeights(3);
    this.#config = config;
    this.model = AttentionModel.load(config, weights, { formats: weightFormats('f32'), maxRows: MAX_ROWS });
    this.#experts = new ExpertModel(config, weights, weightFormats('f32'));
    const cacheSize = config.contextLength * config.keyValueHeads * config.headSize;
    for (let sequence = 0; sequence < sequences; sequence += 1) {
      this.#caches.push(
        Array.from({ length: config.layers }, () => ({
          keys: new Float32Array(cacheSize),
          values: new Float32Array(cacheSize),
          length: 0,
        })),
      );
    }
    const shared = (elements: number): SharedArrayBuffer => new SharedArrayBuffer(elements * 4);
    this.#hidden = new Float32Array(shared(MAX_ROWS * config.hiddenSize));
    this.#expertIds = new Int32Array(shared(MAX_ROWS * config.expertsPerToken));
    this.#gateWeights = new Float32Array(shared(MAX_ROWS * config.expertsPerToken));
    for (let layer = 0; layer < config.layers; layer += 1) {
      for (let expert = 0; expert < config.experts; expert += 1) this.#experts.load(layer, expert);
    }
  }

  /** One step over runs of tokens, one run per sequence; logits `[T][V]` of all rows. */
  step(runs: readonly { sequence: number; tokens: readonly number[] }[]): number[][] {
    const { layers, vocabularySize } = this.#config;
    const tokens = Int32Array.from(runs.flatMap((run) => run.tokens));
    const positions = Int32Array.from(
      runs.flatMap((run) => run.tokens.map((_, index) => this.#caches[run.sequence]![0]!.length + index)),
    );
    this.model.embed(tokens, positions, tokens.length);
    for (let layer = 0; layer < layers; layer += 1) {
      this.model.pre(layer);
      let firstRow = 0;
      for (const run of runs) {
        this.#attend(layer, run.sequence, firstRow, run.tokens.length);
        firstRow += run.tokens.length;
      }
      this.model.post(layer, this.#hidden, this.#expertIds, this.#gateWeights);
      this.#combine(layer, tokens.length);
    }
    const logits = new Float32Array(tokens.length * vocabularySize);
    this.model.head(Int32Array.from(tokens.keys()), tokens.length, logits);
    return [...tokens.keys()].map((row) => [
      ...logits.subarray(row * vocabularySize, (row + 1) * vocabularySize),
    ]);
  }

  release(): void {
    this.model.release();
    this.#experts.release();
  }

  #attend(layer: number, sequence: number, firstRow: number, rows: number): void {
    const width = this.#config.keyValueHeads * this.#config.headSize;
    const cache = this.#caches[sequence]![layer]!;
    const fresh = [firstRow * width, (firstRow + rows) * width] as const;
    cache.keys.set(this.model.keys.subarray(...fresh), cache.length * width);
    cache.values.set(this.model.values.subarray(...fresh), cache.length * width);
    cache.length += rows;
    const used = cache.length * width;
    this.model.attend(
      firstRow,
      rows,
      cache.keys.subarray(0, used),
      cache.values.subarray(0, used),
      cache.length,
    );
  }

  #combine(layer: number, rows: number): void {
    const { hiddenSize, expertsPerToken } = this.#config;
    const output = new Float32Array(hiddenSize);
    this.model.moeOutput.fill(0);
    for (let slot = 0; slot < rows * expertsPerToken; slot += 1) {
      const from = Math.floor(slot / expertsPerToken) * hiddenSize;
      const input = this.#hidden.subarray(from, from + hiddenSize);
      this.#experts.run(layer, this.#expertIds[slot]!, input, 1, output);
      output.forEach((value, column) => {
        this.model.moeOutput[from + column]! += value * this.#gateWeights[slot]!;
      });
    }
  }
}

const prompt = [5, 36, 0, 17, 5, 8, 30];
const other = [22, 3];

function logitsOf(config: ModelConfig, chunks: readonly (readonly number[])[]): number[][] {
  const harness = new Harness(config, 1);
  const logits = chunks.flatMap((tokens) => harness.step([{ sequence: 0, tokens }]));
  harness.release();
  return logits;
}

describe('AttentionModel', () => {
  test.each([
    ['the tiny model', tinyConfig],
    ['untied embeddings', { ...tinyConfig, tiedEmbeddings: false }],
    ['gate weights that are not normalised', { ...tinyConfig, normalizeGateWeights: false }],
    ['one key-value head', { ...tinyConfig, keyValueHeads: 1 }],
    ['a single layer', { ...tinyConfig, layers: 1 }],
  ])('with its experts computes the reference mathematics: %s', (_, config) => {
    const expected = referenceLogits(config, randomWeights(3), prompt);
    expect(largestDifference(logitsOf(config, [prompt]).flat(), expected.flat())).toBeLessThan(TOLERANCE);
  });

  test.each([
    ['chunks', [prompt.slice(0, 3), prompt.slice(3, 4), prompt.slice(4)]],
    ['single tokens', prompt.map((token) => [token])],
  ])('gives the same logits for a prompt in %s as for the whole one', (_, chunks) => {
    const whole = logitsOf(tinyConfig, [prompt]).flat();
    expect(largestDifference(logitsOf(tinyConfig, chunks).flat(), whole)).toBeLessThan(TOLERANCE);
  });

  test('gives a sequence the same logits whatever else is in the batch', () => {
    const harness = new Harness(tinyConfig, 2);
    const batches = [
      harness.step([
        { sequence: 1, tokens: other.slice(0, 1) },
        { sequence: 0, tokens: prompt.slice(0, 6) },
      ]),
      harness.step([
        { sequence: 0, tokens: prompt.slice(6) },
        { sequence: 1, tokens: other.slice(1) },
      ]),
    ];
    harness.release();
    const first = [...batches[0]!.slice(1), batches[1]![0]!].flat();
    const second = [batches[0]![0]!, batches[1]![1]!].flat();
    expect(largestDifference(first, logitsOf(tinyConfig, [prompt]).flat())).toBeLessThan(TOLERANCE);
    expect(largestDifference(second, logitsOf(tinyConfig, [other]).flat())).toBeLessThan(TOLERANCE);
  });

  test('refuses steps, tokens and positions that the model has no room for', () => {
    const harness = new Harness(tinyConfig, 0);
    const embed = (token: number, position: number, rows: number) => () =>
      harness.model.embed(new Int32Array(9).fill(token), new Int32Array(9).fill(position), rows);
    expect(embed(0, 0, MAX_ROWS + 1)).toThrow(/9 rows is outside 1 … 8/);
    expect(embed(0, 0, 0)).toThrow(/0 rows/);
    expect(embed(37, 0, 1)).toThrow(/token id 37/);
    expect(embed(-1, 0, 1)).toThrow(/token id -1/);
    expect(embed(0, 32, 1)).toThrow(/position 32/);
    expect(embed(0, -1, 1)).toThrow(/position -1/);
    harness.release();
    const load = (): AttentionModel =>
      AttentionModel.load(tinyConfig, randomWeights(3), { formats: weightFormats('f32'), maxRows: 0 });
    expect(load).toThrow(/maxRows must be a positive integer, got 0/);
  });
});
