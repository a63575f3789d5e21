import type { ModelConfig } from '../../../shared/model/config.ts';
import { modelTensors } from '../../../shared/model/tensors.ts';
import type { WeightSource } from '../weights.ts';
import {
  addRows,
  attentionRows,
  expertRow,
  linearRow,
  type Row,
  rmsNormRow,
  rotateHead,
  routeRow,
  splitHeads,
} from './reference-math.ts';

/** A model small enough for the reference mathematics, with every count different from every other. */
export const tinyConfig: ModelConfig = {
  architecture: 'qwen3_moe',
  layers: 2,
  hiddenSize: 24,
  attentionHeads: 4,
  keyValueHeads: 2,
  headSize: 8,
  queryKeyNorm: true,
  ropeTheta: 10_000,
  rmsNormEpsilon: 1e-6,
  experts: 6,
  expertsPerToken: 3,
  normalizeGateWeights: true,
  expertSize: 20,
  vocabularySize: 37,
  contextLength: 32,
  tiedEmbeddings: true,
  endOfSequenceIds: [0],
};

/** Numbers in (−1, 1) that depend on `seed` alone (mulberry32). */
export function randomNumbers(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}

/** Random weights under every name, of a size that keeps activations near one; norms lie around one. */
export function randomWeights(seed: number): WeightSource {
  return {
    float32: (name, shape) => {
      const size = shape.reduce((product, dimension) => product * dimension, 1);
      const numbers = randomNumbers(
        size,
        seed + [...name].reduce((hash, c) => hash * 31 + c.charCodeAt(0), 7),
      );
      if (shape.length === 1) return numbers.map((value) => 1 + value / 2);
      return numbers.map((value) => (value * 1.7) / Math.sqrt(shape[1]!));
    },
  };
}

/** Logits `[T][V]` of every position of one sequence. */
export function referenceLogits(
  config: ModelConfig,
  source: WeightSource,
  tokens: readonly number[],
): number[][] {
  const { attentionHeads, keyValueHeads, rmsNormEpsilon: epsilon, ropeTheta } = config;
  const tensors = modelTensors(config);
  const read = ({ name, shape }: { name: string; shape: readonly number[] }): Float32Array =>
    source.float32(name, shape);
  const project = (rows: readonly Row[], weights: Float32Array): number[][] =>
    rows.map((row) => linearRow(row, weights));
  const rotated = (rows: readonly Row[], heads: number, norm: Float32Array): number[][] =>
    rows.map((row, position) =>
      splitHeads(row, heads).flatMap((head) =>
        rotateHead(rmsNormRow(head, norm, epsilon), position, ropeTheta),
      ),
    );

  const embedding = read(tensors.embedding);
  const { hiddenSize } = config;
  let residual = tokens.map((id) => [...embedding.subarray(id * hiddenSize, (id + 1) * hiddenSize)]);
  for (let layer = 0; layer < config.layers; layer += 1) {
    const own = tensors.layer(layer);
    const inputs = residual.map((row) => rmsNormRow(row, read(own.inputNorm), epsilon));
    const queries = rotated(project(inputs, read(own.queryProjection)), attentionHeads, read(own.queryNorm!));
    const keys = rotated(project(inputs, read(own.keyProjection)), keyValueHeads, read(own.keyNorm!));
    const values = project(inputs, read(own.valueProjection));
    const attended = attentionRows(queries, keys, values, attentionHeads, keyValueHeads);
    residual = project(attended, read(own.outputProjection)).map((row, t) => addRows(row, residual[t]!));
    residual = residual.map((row) => {
      const hidden = rmsNormRow(row, read(own.postAttentionNorm), epsilon);
      const { expertIds, gateWeights } = routeRow(
        linearRow(hidden, read(own.router)),
        config.expertsPerToken,
        config.normalizeGateWeights,
      );
      return expertIds.reduce<number[]>((sum, expert, slot) => {
        const { gate, up, down } = own.expert(expert);
        const output = expertRow(hidden, read(gate), read(up), read(down));
        return addRows(
          sum,
          output.map((value) => value * gateWeights[slot]!),
        );
      }, row);
    });
  }
  const normed = residual.map((row) => rmsNormRow(row, read(tensors.finalNorm), epsilon));
  return project(normed, read(tensors.languageModelHead));
}
