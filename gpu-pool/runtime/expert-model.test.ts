import { describe, expect, test } from 'vitest';
import type { WeightForm } from '../../shared/model/config.ts';
import { expertTensors } from '../../shared/model/tensors.ts';
import { ExpertModel } from './expert-model.ts';
import { dequantizeBlocks, quantizeBlocks } from './quantize.ts';
import { expertRow, largestDifference, toRows } from './testing/reference-math.ts';
import { randomNumbers, randomWeights, tinyConfig } from './testing/tiny-model.ts';
import { expertFormat, weightFormats } from './weights.ts';

const config = { ...tinyConfig, layers: 3 };
const source = randomWeights(1);
const rows = 5;
const input = randomNumbers(rows * config.hiddenSize, 2);

/** The reference, with the weights as `form` rounds them. */
function expected(layer: number, expert: number, form: WeightForm): number[] {
  const format = expertFormat(weightFormats(form), layer);
  const { gate, up, down } = expertTensors(config, layer, expert);
  const [gateWeights, upWeights, downWeights] = [gate, up, down].map(({ name, shape }) => {
    const weights = source.float32(name, shape);
    if (format.form === 'f32') return weights;
    return dequantizeBlocks(quantizeBlocks(weights, shape[0]!, shape[1]!, format));
  });
  return toRows(input, config.hiddenSize).flatMap((row) =>
    expertRow(row, gateWeights!, upWeights!, downWeights!),
  );
}

describe('ExpertModel', () => {
  test.each([
    ['f32', 1e-5],
    // What remains is the rounding of activations to int8.
    ['int8', 0.02],
    ['int4', 0.02],
  ] as const)('computes with %s weights, into shared memory', (weightForm, tolerance) => {
    const model = new ExpertModel(config, source, weightFormats(weightForm));
    const output = new Float32Array(new SharedArrayBuffer(rows * config.hiddenSize * 4));
    for (const [layer, expert] of [
      [0, 4],
      [2, 4],
      [2, 5],
    ] as const) {
      model.load(layer, expert);
      model.run(layer, expert, input, rows, output);
      expect(largestDifference(output, expected(layer, expert, weightForm))).toBeLessThan(tolerance);
    }
    model.release();
  });

  test('holds what was loaded and not unloaded, and counts its bytes', () => {
    const model = new ExpertModel(config, source, weightFormats('f32'));
    const weightBytes = 3 * config.hiddenSize * config.expertSize * 4;
    model.load(0, 1);
    model.load(0, 1);
    expect(model.loadedBytes).toBeGreaterThan(weightBytes);
    expect(model.loadedBytes).toBeLessThan(2 * weightBytes);
    model.load(1, 0);
    model.unload(0, 1);
    model.unload(0, 1);
    expect([model.has(0, 1), model.has(1, 0), model.has(1, 1)]).toEqual([false, true, false]);
    model.release();
    expect([model.has(1, 0), model.loadedBytes]).toEqual([false, 0]);
  });

  test('refuses experts that it does not hold or that the model does not have', () => {
    const model = new ExpertModel(config, source, weightFormats('f32'));
    const output = new Float32Array(input.length);
    expect(() => model.run(1, 3, input, rows, output)).toThrow(/expert 3 of layer 1 is not loaded/);
    expect(() => model.load(0, config.experts)).toThrow(/no expert 6 of layer 0/);
    expect(() => model.load(-1, 0)).toThrow(/no expert 0 of layer -1/);
  });
});
