import fs from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig } from '../../shared/model/config.ts';
import { parseModelConfig } from '../../shared/model/parse.ts';
import type { TensorSpec } from '../../shared/model/tensor-specs.ts';
import { roleTensors } from '../../shared/model/tensors.ts';
import { type TensorToWrite, writeSafetensors } from './safetensors-file.ts';
import { tinyTokenizer, tinyTokenizerConfig } from './tiny-tokenizer.ts';

export interface TinyCheckpointOptions {
  /** Fields of `config.json` that replace the defaults. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Number format of all weights; F32 by default. */
  readonly dtype?: 'F32' | 'BF16';
  readonly seed?: number;
  /** Number of weight files; with more than one there is an index. 1 by default. */
  readonly shards?: number;
}

const defaultConfig = {
  architectures: ['Qwen3MoeForCausalLM'],
  model_type: 'qwen3_moe',
  num_hidden_layers: 2,
  hidden_size: 64,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  num_experts: 8,
  num_experts_per_tok: 2,
  moe_intermediate_size: 32,
  norm_topk_prob: true,
  vocab_size: 264,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  rope_scaling: null,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  eos_token_id: 257,
};

/**
 * Writes a small random qwen3_moe checkpoint into an existing folder: config, weights, and a byte-level tokenizer with
 * 259 tokens. The same options give the same bytes.
 */
export function writeTinyCheckpoint(folder: string, options: TinyCheckpointOptions = {}): ModelConfig {
  const { dtype = 'F32', seed = 1, shards = 1 } = options;
  const configJson = { ...defaultConfig, ...options.config };
  const config = parseModelConfig(configJson);
  const random = uniform(seed);
  const tensors = [...roleTensors(config, 'both')].map((spec) => randomTensor(spec, dtype, random));
  writeJson(folder, 'config.json', configJson);
  writeJson(folder, 'tokenizer.json', tinyTokenizer);
  writeJson(folder, 'tokenizer_config.json', tinyTokenizerConfig);
  if (shards === 1) writeSafetensors(join(folder, 'model.safetensors'), tensors);
  else writeShards(folder, tensors, shards);
  return config;
}

function writeShards(folder: string, tensors: readonly TensorToWrite[], shards: number): void {
  const fileOf = (shard: number): string =>
    `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
  for (let shard = 0; shard < shards; shard++) {
    writeSafetensors(
      join(folder, fileOf(shard)),
      tensors.filter((_, i) => i % shards === shard),
    );
  }
  const weightMap = Object.fromEntries(tensors.map(({ name }, i) => [name, fileOf(i % shards)]));
  writeJson(folder, 'model.safetensors.index.json', { metadata: {}, weight_map: weightMap });
}

const writeJson = (folder: string, file: string, content: unknown): void =>
  fs.writeFileSync(join(folder, file), JSON.stringify(content));

/** Norms lie around 1; matrices have variance 1 / inputs, so that activations neither vanish nor explode. */
function randomTensor(
  { name, shape }: TensorSpec,
  dtype: 'F32' | 'BF16',
  random: () => number,
): TensorToWrite {
  const isNorm = shape.length === 1;
  const center = isNorm ? 1 : 0;
  const spread = isNorm ? 0.1 : Math.sqrt(3 / shape.at(-1)!);
  const count = shape.reduce((product, size) => product * size, 1);
  const numbers = Float32Array.from({ length: count }, () => center + spread * (2 * random() - 1));
  const words = new Uint32Array(numbers.buffer);
  const bytes = dtype === 'F32' ? words : Uint16Array.from(words, (word) => word >>> 16);
  return { name, dtype, shape, bytes: new Uint8Array(bytes.buffer) };
}

/** Uniform numbers in [0, 1) from a linear congruential generator (Numerical Recipes). */
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
