import { describe, expect, it, test } from 'vitest';
import type { ModelConfig } from '../../shared/model/config.ts';
import { hostOptions } from '../../test/support/test-host.ts';
import { tinyConfig } from '../runtime/testing/tiny-model.ts';
import { weightFormats } from '../runtime/weights.ts';
import type { HostOptions } from './host-options.ts';
import { sizeHost } from './size-host.ts';

const CORES = 4;
const config: ModelConfig = {
  ...tinyConfig,
  layers: 4,
  hiddenSize: 32,
  headSize: 16,
  expertSize: 24,
  vocabularySize: 40,
};
const options = (overrides: Partial<HostOptions> = {}): HostOptions =>
  hostOptions('redis://127.0.0.1:6379', {
    attentionInstances: 'auto',
    expertInstances: 'auto',
    ...overrides,
  });

describe('a host with both pools', () => {
  it('has an expert instance per core where ONNX Runtime computes experts', () => {
    for (const size of [
      sizeHost(options(), config, weightFormats('f32'), CORES),
      sizeHost(options({ kernels: 'onnx' }), config, weightFormats('int4'), CORES),
      sizeHost(options(), tinyConfig, weightFormats('int4'), CORES),
    ]) {
      expect(size.options).toMatchObject({ attentionInstances: 1, expertInstances: CORES });
      expect(size.sizing!.reason).toContain('with ONNX Runtime');
    }
  });

  it('has a thread per core where the kernels do, whatever computes attention', () => {
    const int4 = sizeHost(options({ kernels: 'wasm' }), config, weightFormats('int4'), CORES);
    expect(int4.options).toMatchObject({ attentionInstances: 1, expertInstances: CORES - 1 });
    expect(int4.sizing!.reason).toContain('help each other');
    // Attention stays f32, and so do the experts of the first layers.
    const int8 = sizeHost(options({ kernels: 'wasm' }), config, weightFormats('int8'), CORES);
    expect(int8.options).toMatchObject({ attentionInstances: 1, expertInstances: CORES - 1 });
    expect(int8.sizing!.reason).toContain('compute experts while they wait');
  });

  it('has no more attention instances than kernel memory has room for', () => {
    const cores = 32;
    const roomy = sizeHost(options({ kernels: 'wasm' }), config, weightFormats('int4'), cores);
    expect(roomy.options.attentionInstances).toBe(4);
    // 4 layers × 2 × (2 heads × 16 numbers of 2 bytes and their scales) are 640 bytes per token: a sequence takes more than half of the memory.
    const long = { ...config, contextLength: 2 ** 22 };
    const tight = sizeHost(options({ kernels: 'wasm' }), long, weightFormats('int4'), cores);
    expect(tight.options.attentionInstances).toBe(1);
    expect(tight.sizing!.reason).toContain('no room for the weights and KV cache of another');
    // ONNX Runtime's caches are not in kernel memory.
    const onnx = sizeHost(options({ kernels: 'onnx' }), long, weightFormats('int4'), cores);
    expect(onnx.options.attentionInstances).toBe(4);
  });

  it('has what was asked for', () => {
    const asked = options({ attentionInstances: 3, expertInstances: 5 });
    const size = sizeHost(asked, config, weightFormats('f32'), CORES);
    expect(size.options).toEqual(asked);
    expect(size.sizing).toMatchObject({ attention: 3, experts: 5 });
  });
});

test.each<[string, Partial<HostOptions>, number, number]>([
  ['the monolith', { monolith: true }, 1, 0],
  ['an attention host', { role: 'attention', attentionInstances: 2 }, 2, 0],
  ['an expert host', { role: 'experts', expertInstances: 3 }, 0, 3],
])('%s has nothing to choose', (_, overrides, attentionInstances, expertInstances) => {
  const size = sizeHost(options(overrides), config, weightFormats('int4'), CORES);
  expect(size.sizing).toBeNull();
  expect(size.options).toMatchObject({ attentionInstances, expertInstances });
});
