import fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from './config.ts';
import { parseModelConfig } from './parse.ts';
import { parseHeaderLength, parseSafetensorsHeader } from './safetensors.ts';
import { attentionTensors, expertTensors, modelTensors, roleTensors } from './tensors.ts';

const shippedFolder = new URL('../../gpu-pool/models/dictionary-moe/', import.meta.url);
const shipped = parseModelConfig(
  JSON.parse(fs.readFileSync(new URL('config.json', shippedFolder), 'utf8')) as unknown,
);
const untied: ModelConfig = { ...shipped, tiedEmbeddings: false };

describe('the tensors of a model', () => {
  it('are those of the shipped checkpoint, names and shapes, no more and no less', () => {
    const file = fs.readFileSync(new URL('model.safetensors', shippedFolder));
    const length = parseHeaderLength(file.subarray(0, 8), file.length, 'model.safetensors');
    const header = parseSafetensorsHeader(file.subarray(8, 8 + length), file.length, 'model.safetensors');
    const stored = [...header].map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
    const wanted = [...roleTensors(shipped, 'both')].map(
      ({ name, shape }) => `${name} [${shape.join(', ')}]`,
    );
    expect(wanted.toSorted()).toEqual(stored.toSorted());
  });

  it('have a head of their own only where embeddings are not tied', () => {
    expect(modelTensors(shipped).languageModelHead).toEqual(modelTensors(shipped).embedding);
    const head = { name: 'lm_head.weight', shape: [4096, 192] };
    expect(modelTensors(untied).languageModelHead).toEqual(head);
    expect(attentionTensors(untied)).toContainEqual(head);
    expect(attentionTensors(shipped)).not.toContainEqual(head);
  });

  it('are named by their part in the model', () => {
    expect(modelTensors(shipped).layer(3).keyProjection).toEqual({
      name: 'model.layers.3.self_attn.k_proj.weight',
      shape: [64, 192],
    });
    expect(expertTensors(shipped, 5, 31)).toEqual({
      gate: { name: 'model.layers.5.mlp.experts.31.gate_proj.weight', shape: [96, 192] },
      up: { name: 'model.layers.5.mlp.experts.31.up_proj.weight', shape: [96, 192] },
      down: { name: 'model.layers.5.mlp.experts.31.down_proj.weight', shape: [192, 96] },
    });
    expect(modelTensors(shipped).layer(0).router).toEqual({
      name: 'model.layers.0.mlp.gate.weight',
      shape: [32, 192],
    });
  });

  it('are divided between the roles, but for the routers, which both need', () => {
    const names = (role: 'attention' | 'experts' | 'both'): string[] =>
      [...roleTensors(untied, role)].map(({ name }) => name);
    const shared = new Set(names('attention')).intersection(new Set(names('experts')));
    expect([...shared]).toEqual(
      Array.from({ length: 6 }, (_, layer) => modelTensors(untied).layer(layer).router.name),
    );
    expect(new Set(names('both'))).toEqual(new Set([...names('attention'), ...names('experts')]));
    expect(new Set(names('both')).size).toBe(names('both').length);
    expect(names('attention').some((name) => name.includes('.experts.'))).toBe(false);
  });
});
