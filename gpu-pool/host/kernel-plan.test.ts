import { expect, test } from 'vitest';
import { KernelMemory } from '../kernels/kernel-memory.ts';
import { loadKernels } from '../kernels/load-kernels.ts';
import { packedFormats } from '../packed/packed-formats.ts';
import { productsAreExact } from '../runtime/kernel/product-scratch.ts';
import { tinyConfig } from '../runtime/testing/tiny-model.ts';
import { weightFormats } from '../runtime/weights.ts';
import { reachOf } from './kernel-coverage.ts';
import { type KernelDemand, planKernels } from './kernel-plan.ts';

const config = {
  ...tinyConfig,
  hiddenSize: 32,
  headSize: 16,
  expertSize: 24,
  vocabularySize: 40,
};
const demand: KernelDemand = {
  config,
  formats: weightFormats('int4'),
  choice: 'auto',
  experts: [new Set([0, 1]), new Set([4])],
  expertInstances: 1,
  attentionInstances: 2,
  expertRows: 8,
  attentionRows: 8,
  slots: 2,
  lanes: 1,
  laneBytes: 4_096,
};

test('gives every expert, thread and attention instance a place of its own', () => {
  // Asked for, they take int8 too, wherever that is slower than ONNX Runtime.
  const plan = planKernels({ ...demand, choice: 'wasm' })!;
  const attention = [0, 1].map((index) => plan.attention(index));
  const { source } = plan.expert(0);
  const placed = [...new Int32Array(source.experts)].filter((offset) => offset !== 0);
  expect(placed.length).toBe(3);
  const starts = [
    ...placed,
    source.scratch,
    ...attention.map((each) => each.source.scratch),
    ...plan.lanes.map(({ offset }) => offset),
    ...attention.flatMap(({ computes }) => [computes!.offset, computes!.cacheOffset]),
  ];
  expect(plan.lanes).toHaveLength(1);
  expect(new Set(starts).size).toBe(starts.length);
  const ends = attention.map(({ computes }) => computes!.cacheOffset + computes!.cacheBytes);
  expect(Math.max(...ends)).toBeLessThanOrEqual(source.memory.buffer.byteLength);
});

test('takes 8-bit codes of one scale per row wherever products of bytes are exact, others only where they are faster', () => {
  const settings = { dtype: 'int8', blockSize: 32 } as const;
  const bytes = planKernels({ ...demand, formats: packedFormats({ ...settings, uniform: true }) });
  const places = bytes === null ? [] : [...new Int32Array(bytes.expert(0).source.experts)];
  expect(places.filter((offset) => offset !== 0).length).toBe(productsAreExact() ? 3 : 0);
  const reach = reachOf('auto', loadKernels(new KernelMemory(1).memory));
  const blocks = planKernels({ ...demand, formats: packedFormats({ ...settings, uniform: false }) });
  expect(blocks !== null).toBe(reach === 'int8');
});

test('leaves to ONNX Runtime what the kernels cannot compute, and says why where they were asked for', () => {
  expect(planKernels({ ...demand, choice: 'onnx' })).toBeNull();
  const float = { ...demand, formats: weightFormats('f32') };
  expect(planKernels(float)).toBeNull();
  expect(() => planKernels({ ...float, choice: 'wasm' })).toThrow(
    /--kernels wasm is not possible: f32 weights/,
  );
  const odd = { ...demand, config: tinyConfig };
  expect(planKernels(odd)).toBeNull();
  expect(() => planKernels({ ...odd, choice: 'wasm' })).toThrow(/multiples of 8/);
});
