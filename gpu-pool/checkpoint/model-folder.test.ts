import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { expertTensors } from '../../shared/model/tensors.ts';
import { writeTinyCheckpoint } from '../../test/support/tiny-checkpoint.ts';
import { loadModelConfig, loadModelFolder } from './model-folder.ts';
import { verifyCheckpoint } from './verify.ts';

const shippedFolder = fileURLToPath(new URL('../models/dictionary-moe', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'janus-model-'));
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true });
});

function expectRefusal(action: () => unknown, message: RegExp): void {
  expect(action).toThrow(JanusError);
  expect(action).toThrow(message);
}

describe('loadModelFolder', () => {
  it('loads the shipped model', () => {
    const { config, checkpoint } = loadModelFolder(shippedFolder);
    expect(config).toMatchObject({
      layers: 6,
      experts: 32,
      expertsPerToken: 4,
      endOfSequenceIds: [4095, 4093],
    });
    expect(checkpoint.dtype('model.norm.weight')).toBe('BF16');
    const { up } = expertTensors(config, 0, 0);
    const numbers = checkpoint.readFloat32(up.name, up.shape);
    checkpoint.close();
    const meanSquare = numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length;
    expect(meanSquare).toBeGreaterThan(1e-5);
    expect(meanSquare).toBeLessThan(1);
  });

  it('names a folder that does not exist', () => {
    expectRefusal(
      () => loadModelFolder(join(folder, 'nowhere')),
      /model folder .*nowhere does not exist: give/,
    );
  });

  it('names a missing config.json', () => {
    expectRefusal(() => loadModelFolder(folder), /config\.json does not exist: a model folder must hold it/);
  });

  it('names a file that is not JSON', () => {
    fs.writeFileSync(join(folder, 'config.json'), '{');
    expectRefusal(() => loadModelFolder(folder), /config\.json is not valid JSON/);
  });

  it('names folder, file and field of a wrong config', () => {
    fs.writeFileSync(join(folder, 'config.json'), '{"model_type": "qwen3_moe"}');
    expectRefusal(() => loadModelFolder(folder), /janus-model-.*: config\.json: num_hidden_layers must be/);
  });

  it('takes the end-of-sequence ids of generation_config.json where there is one', () => {
    writeTinyCheckpoint(folder);
    expect(loadModelConfig(folder).endOfSequenceIds).toEqual([257]);
    fs.writeFileSync(join(folder, 'generation_config.json'), '{"eos_token_id": [257, 258]}');
    expect(loadModelConfig(folder).endOfSequenceIds).toEqual([257, 258]);
  });
});

describe('verifyCheckpoint', () => {
  it.each([
    ['one f32 file', { dtype: 'F32' }],
    ['three bf16 shards', { dtype: 'BF16', shards: 3 }],
    ['tied embeddings', { config: { tie_word_embeddings: true } }],
  ] as const)('accepts a whole checkpoint: %s', (_, options) => {
    const config = writeTinyCheckpoint(folder, options);
    const { checkpoint } = loadModelFolder(folder);
    verifyCheckpoint(checkpoint, config, 'both');
    checkpoint.close();
  });

  it('looks at the tensors of the role only', () => {
    const written = writeTinyCheckpoint(folder);
    const { checkpoint } = loadModelFolder(folder);
    const moreExperts = { ...written, experts: 9 };
    const otherHeads = { ...written, attentionHeads: 8 };
    expectRefusal(
      () => verifyCheckpoint(checkpoint, moreExperts, 'experts'),
      /mlp\.gate\.weight has shape \[8, 64\]/,
    );
    expectRefusal(
      () => verifyCheckpoint(checkpoint, otherHeads, 'attention'),
      /q_proj\.weight has shape \[64, 64\]/,
    );
    expectRefusal(
      () => verifyCheckpoint(checkpoint, otherHeads, 'both'),
      /q_proj\.weight has shape \[64, 64\]/,
    );
    verifyCheckpoint(checkpoint, otherHeads, 'experts');
    checkpoint.close();
  });

  it('names a tensor that is missing', () => {
    writeTinyCheckpoint(folder, { config: { tie_word_embeddings: true } });
    const { config, checkpoint } = loadModelFolder(folder);
    const untied = { ...config, tiedEmbeddings: false };
    expectRefusal(() => verifyCheckpoint(checkpoint, untied, 'attention'), /has no tensor lm_head\.weight/);
    checkpoint.close();
  });
});

describe('writeTinyCheckpoint', () => {
  it('writes the same bytes for the same seed, and others for another', () => {
    const write = (name: string, seed: number): Buffer => {
      const path = join(folder, name);
      fs.mkdirSync(path);
      writeTinyCheckpoint(path, { seed });
      return fs.readFileSync(join(path, 'model.safetensors'));
    };
    const first = write('a', 1);
    expect(first.equals(write('b', 1))).toBe(true);
    expect(first.equals(write('c', 2))).toBe(false);
  });
});
