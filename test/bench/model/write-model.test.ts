import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Checkpoint } from '../../../gpu-pool/checkpoint/checkpoint.ts';
import { loadModelFolder } from '../../../gpu-pool/checkpoint/model-folder.ts';
import { verifyCheckpoint } from '../../../gpu-pool/checkpoint/verify.ts';
import { loadTokenizer } from '../../../gpu-pool/tokenizer/load-tokenizer.ts';
import { modelTensors, roleTensors } from '../../../shared/model/tensors.ts';
import { writeWeights } from './checkpoint-writer.ts';
import { MODEL_FLAGS, modelFromFlags, parseFlags } from './flags.ts';
import { BENCH_MODELS, type BenchModelOptions } from './options.ts';
import { ensureBenchModel } from './write-model.ts';

const MODEL: BenchModelOptions = BENCH_MODELS.tiny;
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'janus-bench-model-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (name = 'model', options = MODEL): Promise<string> =>
  ensureBenchModel(options, { folder: join(root, name), log: () => {} });

const hashOf = (folder: string): string => {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder).sort()) hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
};

describe('a synthetic model', () => {
  it('is a checkpoint that every role can load', async () => {
    const { config, checkpoint } = loadModelFolder(await write());
    verifyCheckpoint(checkpoint, config, 'both');
    checkpoint.close();
    expect(config).toMatchObject({ layers: 2, experts: 8, expertsPerToken: 2, tiedEmbeddings: false });
  });

  it('has normal weights whose variance keeps activations at their size', async () => {
    const { config, checkpoint } = loadModelFolder(await write());
    const { embedding, languageModelHead, layer } = modelTensors(config);
    const deviationOf = ({ name, shape }: { name: string; shape: readonly number[] }): number => {
      const weights = checkpoint.readFloat32(name, shape);
      const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length;
      expect(Math.abs(mean)).toBeLessThan(0.05);
      return Math.sqrt(weights.reduce((sum, weight) => sum + (weight - mean) ** 2, 0) / weights.length);
    };
    const inputs = 1 / Math.sqrt(MODEL.hiddenSize);
    expect(deviationOf(embedding)).toBeCloseTo(1, 1);
    expect(deviationOf(languageModelHead)).toBeCloseTo(2 * inputs, 2);
    expect(deviationOf(layer(0).queryProjection)).toBeCloseTo(inputs, 2);
    expect(deviationOf(layer(1).expert(7).down)).toBeCloseTo(1 / Math.sqrt(MODEL.expertSize), 2);
    checkpoint.close();
  });

  it('shows every token but the special ones as text of its own', async () => {
    const tokenizer = loadTokenizer(await write(), MODEL.vocabularySize);
    const texts = Array.from({ length: MODEL.vocabularySize }, (_, id) => tokenizer.decode([id]));
    expect(texts.slice(-3)).toEqual(['', '', '']);
    expect(new Set(texts.slice(0, -3)).size).toBe(MODEL.vocabularySize - 3);
    expect(texts.slice(0, -3).every((text) => text.length > 0)).toBe(true);
    expect(tokenizer.decode(tokenizer.encode('Hello, World!\n\t~'))).toBe('Hello, World!\n\t~');
  });

  it('takes a conversation', async () => {
    const tokenizer = loadTokenizer(await write());
    const text = tokenizer.renderChat([{ role: 'user', content: 'Hi' }], { addGenerationPrompt: true });
    expect(text).toBe('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
    expect(tokenizer.encode(text)[0]).toBe(MODEL.vocabularySize - 3);
  });

  it('has the same bytes for the same options, and others for another seed', async () => {
    const hashes = [await write('a'), await write('b'), await write('c', { ...MODEL, seed: 2 })].map(hashOf);
    expect(hashes[1]).toBe(hashes[0]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });

  it('is cut into shards that hold the same as a single one', async () => {
    const whole = loadModelFolder(await write());
    const folder = join(root, 'shards');
    mkdirSync(folder);
    await writeWeights(folder, whole.config, MODEL.seed, () => {}, 100_000);
    expect(readdirSync(folder).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(2);
    const cut = Checkpoint.open(folder);
    for (const { name, shape } of roleTensors(whole.config, 'both')) {
      expect(cut.readBytes(name, shape)).toEqual(whole.checkpoint.readBytes(name, shape));
    }
    cut.close();
    whole.checkpoint.close();
  });
});

describe('ensureBenchModel', () => {
  it('writes a model once, and leaves nothing else behind', async () => {
    const before = statSync(join(await write(), 'config.json')).mtimeMs;
    expect(statSync(join(await write(), 'config.json')).mtimeMs).toBe(before);
    expect(readdirSync(root)).toEqual(['model']);
  });

  it('gives one whole model to two that ask at once', async () => {
    expect(await Promise.all([write(), write()])).toEqual([join(root, 'model'), join(root, 'model')]);
    expect(readdirSync(root)).toEqual(['model']);
  });

  it('refuses a folder that holds something else', async () => {
    mkdirSync(join(root, 'model'));
    await expect(write()).rejects.toThrow(/no model of a benchmark.*--folder/);
    await write('other', { ...MODEL, seed: 2 });
    await expect(write('other')).rejects.toThrow(/a model of other options/);
  });

  it.each([
    [{ hiddenSize: 48 }, /hiddenSize is 48.*multiple of 32/],
    [{ layers: 0 }, /layers is 0/],
    [{ vocabularySize: 100 }, /vocabularySize is 100.*from 131 to/],
    [{ expertsPerToken: 9 }, /num_experts_per_tok/],
  ])('refuses %j', async (change, message) => {
    await expect(write('bad', { ...MODEL, ...change })).rejects.toThrow(message);
    expect(readdirSync(root)).toEqual([]);
  });
});

it('takes a preset and single sizes from flags', () => {
  const model = (...args: string[]) => modelFromFlags(parseFlags(args, MODEL_FLAGS));
  expect(model('--preset', 'tiny', '--layers', '3')).toEqual({ ...MODEL, layers: 3 });
  expect(model()).toEqual(BENCH_MODELS.default);
  expect(() => model('--preset', 'huge')).toThrow(/--preset is huge.*experts128/);
  expect(() => model('--layers', 'many')).toThrow(/--layers is "many"/);
  expect(() => model('--depth', '3')).toThrow(/--depth.*--layers/);
});
