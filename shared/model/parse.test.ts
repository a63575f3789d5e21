import { describe, expect, it } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { parseModelConfig } from './parse.ts';

/** `config.json` of Qwen/Qwen3-30B-A3B. */
const qwen3 = {
  architectures: ['Qwen3MoeForCausalLM'],
  attention_bias: false,
  bos_token_id: 151643,
  decoder_sparse_step: 1,
  eos_token_id: 151645,
  head_dim: 128,
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 6144,
  max_position_embeddings: 40960,
  max_window_layers: 48,
  mlp_only_layers: [],
  model_type: 'qwen3_moe',
  moe_intermediate_size: 768,
  norm_topk_prob: true,
  num_attention_heads: 32,
  num_experts: 128,
  num_experts_per_tok: 8,
  num_hidden_layers: 48,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1_000_000,
  sliding_window: null,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  use_sliding_window: false,
  vocab_size: 151936,
};

describe('parseModelConfig', () => {
  it('reads the config of Qwen3-30B-A3B', () => {
    expect(parseModelConfig(qwen3)).toEqual({
      architecture: 'qwen3_moe',
      layers: 48,
      hiddenSize: 2048,
      attentionHeads: 32,
      keyValueHeads: 4,
      headSize: 128,
      queryKeyNorm: true,
      ropeTheta: 1_000_000,
      rmsNormEpsilon: 1e-6,
      experts: 128,
      expertsPerToken: 8,
      normalizeGateWeights: true,
      expertSize: 768,
      vocabularySize: 151936,
      contextLength: 40960,
      tiedEmbeddings: false,
      endOfSequenceIds: [151645],
    });
  });

  it('reads a config in the spelling of Transformers 5', () => {
    const { rope_theta, rope_scaling, torch_dtype, ...common } = qwen3;
    const rope_parameters = { rope_theta, rope_type: 'default' };
    const config = { ...common, rope_parameters, dtype: torch_dtype };
    expect(rope_scaling).toBeNull();
    expect(parseModelConfig(config)).toEqual(parseModelConfig(qwen3));
  });

  it('takes what Hugging Face assumes for fields that are absent', () => {
    const absent = {
      head_dim: null,
      rope_theta: undefined,
      rms_norm_eps: undefined,
      norm_topk_prob: undefined,
      tie_word_embeddings: undefined,
    };
    expect(parseModelConfig({ ...qwen3, ...absent })).toMatchObject({
      headSize: 64,
      ropeTheta: 10_000,
      rmsNormEpsilon: 1e-6,
      normalizeGateWeights: false,
      tiedEmbeddings: false,
    });
  });

  it.each([
    ['those of generation_config.json, in their order', 151645, [151645, 151643, 151645], [151645, 151643]],
    ['a single one of generation_config.json', [1, 2], 151643, [151643]],
    ['those of config.json where generation_config.json has none', [151643, 7], null, [151643, 7]],
    ['none where both files have none', null, undefined, []],
  ])('ends answers with %s', (_, own, generation, expected) => {
    const config = { ...qwen3, eos_token_id: own };
    expect(parseModelConfig(config, { eos_token_id: generation }).endOfSequenceIds).toEqual(expected);
  });

  it.each([
    ['num_experts', undefined, /config\.json: num_experts must be a positive integer \(it is missing\)/],
    ['num_experts', '128', /num_experts must be a positive integer \(it is "128"\)/],
    ['hidden_size', 0, /hidden_size must be a positive integer \(it is 0\)/],
    ['hidden_size', 2 ** 40, /hidden_size must not be larger than/],
    ['num_hidden_layers', 100_000, /num_hidden_layers must not be larger than 1000/],
    ['rms_norm_eps', -1, /rms_norm_eps must be a positive number/],
    ['norm_topk_prob', 'yes', /norm_topk_prob must be true or false/],
    ['num_experts_per_tok', 129, /num_experts_per_tok must not be larger than num_experts, which is 128/],
    ['num_key_value_heads', 5, /num_attention_heads must be a multiple of num_key_value_heads/],
    ['head_dim', 127, /head_dim must be even/],
    [
      'rope_scaling',
      { rope_type: 'yarn', factor: 4 },
      /rope_scaling must be null: .* \(it is {"rope_type":"yarn"/,
    ],
    ['rope_parameters', { rope_theta: 1, rope_type: 'yarn' }, /rope_parameters\.rope_type must be "default"/],
    ['mlp_only_layers', [0], /mlp_only_layers must be empty: dense layers/],
    ['decoder_sparse_step', 2, /decoder_sparse_step must be 1/],
    ['attention_bias', true, /attention_bias must be false/],
    ['use_sliding_window', true, /use_sliding_window must be false/],
    ['hidden_act', 'gelu', /hidden_act must be "silu"/],
    ['quantization_config', { quant_method: 'fp8' }, /quantization_config must be absent/],
    ['eos_token_id', 'x', /eos_token_id must be a token id or an array/],
    ['eos_token_id', 151936, /config\.json: eos_token_id must be below vocab_size/],
    ['model_type', 'gpt2', /model_type "gpt2" is not supported; supported: qwen3_moe/],
    ['model_type', 'toString', /model_type "toString" is not supported/],
    ['model_type', undefined, /model_type must be the name of an architecture/],
  ])('refuses %s = %j and says why', (field, value, message) => {
    const parse = (): unknown => parseModelConfig({ ...qwen3, [field]: value });
    expect(parse).toThrow(JanusError);
    expect(parse).toThrow(message);
  });

  it('refuses a hidden size that the heads do not divide where there is no head_dim', () => {
    expect(() => parseModelConfig({ ...qwen3, head_dim: undefined, num_attention_heads: 12 })).toThrow(
      /hidden_size must be a multiple of num_attention_heads/,
    );
  });

  it('names generation_config.json if that file is wrong', () => {
    expect(() => parseModelConfig(qwen3, { eos_token_id: [-1] })).toThrow(
      /^generation_config\.json: eos_token_id must be/,
    );
    expect(() => parseModelConfig(qwen3, { eos_token_id: 200_000 })).toThrow(
      /^generation_config\.json: eos_token_id must be below/,
    );
  });

  it.each([[null], ['text'], [[]]])('refuses %j in place of an object', (content) => {
    expect(() => parseModelConfig(content)).toThrow(/config\.json: the file must be a JSON object/);
  });
});
