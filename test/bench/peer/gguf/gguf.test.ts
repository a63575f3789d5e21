import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModelFolder } from '../../../../gpu-pool/checkpoint/model-folder.ts';
import { expertTensors } from '../../../../shared/model/tensors.ts';
import { BENCH_MODELS } from '../../model/options.ts';
import { ensureBenchModel } from '../../model/write-model.ts';
import { Q4_0 } from './blocks.ts';
import { type GgufFile, readGguf } from './gguf.fixture.ts';
import { ensureGguf } from './gguf.ts';

const MODEL = BENCH_MODELS.tiny;
let root: string;
let folder: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'janus-gguf-'));
  folder = await ensureBenchModel(MODEL, { folder: join(root, 'model'), log: () => {} });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const written = async (type: 'F16' | 'Q8_0' | 'Q4_0'): Promise<GgufFile> =>
  readGguf(readFileSync(await ensureGguf(folder, type)));

describe('a GGUF made from a checkpoint', () => {
  it('says what llama.cpp must know of the architecture', async () => {
    expect((await written('F16')).metadata).toMatchObject({
      'general.architecture': 'qwen3moe',
      'general.file_type': 1,
      'qwen3moe.block_count': MODEL.layers,
      'qwen3moe.embedding_length': MODEL.hiddenSize,
      'qwen3moe.attention.head_count_kv': MODEL.keyValueHeads,
      'qwen3moe.attention.key_length': MODEL.headSize,
      'qwen3moe.expert_count': MODEL.experts,
      'qwen3moe.expert_used_count': MODEL.expertsPerToken,
      'qwen3moe.expert_feed_forward_length': MODEL.expertSize,
      'qwen3moe.rope.freq_base': 10_000,
      'tokenizer.ggml.model': 'gpt2',
    });
  });

  it('has a token for every id, special ones marked as such', async () => {
    const { metadata } = await written('F16');
    const tokens = metadata['tokenizer.ggml.tokens'] as string[];
    const types = metadata['tokenizer.ggml.token_type'] as number[];
    expect(tokens).toHaveLength(MODEL.vocabularySize);
    expect(new Set(tokens).size).toBe(MODEL.vocabularySize);
    expect(tokens.filter((_, id) => types[id] === 3)).toEqual([
      '<|im_start|>',
      '<|im_end|>',
      '<|endoftext|>',
    ]);
    expect(tokens[metadata['tokenizer.ggml.eos_token_id'] as number]).toBe('<|im_end|>');
  });

  it('keeps norms and routers f32 and gives all else the format', async () => {
    const { tensors } = await written('Q4_0');
    const float32 = tensors
      .filter(({ type }) => type === 0)
      .map(({ name }) => name.replace(/^blk\.\d+\./, ''));
    expect(new Set(float32)).toEqual(
      new Set([
        'output_norm.weight',
        ...['attn_norm', 'attn_q_norm', 'attn_k_norm', 'ffn_norm', 'ffn_gate_inp'].map((n) => `${n}.weight`),
      ]),
    );
    expect(tensors.filter(({ type }) => type !== 0).every(({ type }) => type === Q4_0.code)).toBe(true);
    expect(tensors).toHaveLength(3 + 12 * MODEL.layers);
  });

  it('stacks the experts of a layer in order, without changing a number', async () => {
    const { data, tensors } = await written('F16');
    const stacked = tensors.find(({ name }) => name === 'blk.1.ffn_down_exps.weight')!;
    expect(stacked.dimensions).toEqual([MODEL.expertSize, MODEL.hiddenSize, MODEL.experts]);
    const { config, checkpoint } = loadModelFolder(folder);
    const { down } = expertTensors(config, 1, 5);
    const expected = checkpoint.readFloat32(down.name, down.shape);
    checkpoint.close();
    const begin = stacked.offset + 5 * expected.length * 2;
    const found = expected.map((_, i) => data.readUInt16LE(begin + 2 * i));
    const halves = Float16Array.from(expected);
    expect(Array.from(found)).toEqual(Array.from(new Uint16Array(halves.buffer)));
  });

  it('aligns every tensor, and ends with the last one', async () => {
    for (const type of ['F16', 'Q8_0', 'Q4_0'] as const) {
      const { data, tensors } = await written(type);
      expect(tensors.every(({ offset }) => offset % 32 === 0)).toBe(true);
      const last = tensors.at(-1)!;
      const perWeight = { F16: 2, Q8_0: 34 / 32, Q4_0: 18 / 32 }[type];
      expect(data.length).toBe(last.offset + last.dimensions.reduce((a, b) => a * b) * perWeight);
    }
  });

  it('is written once', async () => {
    const before = statSync(await ensureGguf(folder, 'Q8_0'));
    expect(statSync(await ensureGguf(folder, 'Q8_0')).mtimeMs).toBe(before.mtimeMs);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
