import { z } from 'zod';
import type { ModelConfig } from '../config.ts';
import { flag, onlySupported, parseFields, positiveInteger, positiveNumber } from '../fields.ts';
import type { LayerTensors, ModelTensors, TensorSpec } from '../tensor-specs.ts';
import type { Architecture } from './architecture.ts';
import { parseEndOfSequenceIds } from './end-of-sequence.ts';

const MAX_LAYERS = 1_000;
/** What Hugging Face's `Qwen3MoeConfig` assumes where a field is absent. */
const DEFAULT_ROPE_THETA = 10_000;
const DEFAULT_RMS_NORM_EPSILON = 1e-6;

const ropeParameters = z.object(
  { rope_theta: positiveNumber.nullish(), rope_type: onlySupported('default') },
  { error: 'must be an object with rope_theta' },
);

const fields = z.object(
  {
    num_hidden_layers: positiveInteger.max(MAX_LAYERS, { error: `must not be larger than ${MAX_LAYERS}` }),
    hidden_size: positiveInteger,
    num_attention_heads: positiveInteger,
    num_key_value_heads: positiveInteger,
    head_dim: positiveInteger.nullish(),
    num_experts: positiveInteger,
    num_experts_per_tok: positiveInteger,
    moe_intermediate_size: positiveInteger,
    vocab_size: positiveInteger,
    max_position_embeddings: positiveInteger,
    norm_topk_prob: flag.nullish(),
    tie_word_embeddings: flag.nullish(),
    rms_norm_eps: positiveNumber.nullish(),
    rope_theta: positiveNumber.nullish(),
    // Transformers 5 writes rope_parameters; older versions wrote rope_theta and rope_scaling.
    rope_parameters: ropeParameters.nullish(),
    rope_scaling: z.null({ error: 'must be null: scaled RoPE is not supported yet' }).optional(),
    hidden_act: onlySupported('silu'),
    attention_bias: onlySupported(false),
    use_sliding_window: onlySupported(false),
    decoder_sparse_step: onlySupported(1),
    mlp_only_layers: z
      .array(z.unknown(), { error: 'must be an empty array' })
      .max(0, { error: 'must be empty: dense layers are not supported yet' })
      .nullish(),
    quantization_config: z
      .null({ error: 'must be absent: use the checkpoint in bfloat16, float16 or float32' })
      .optional(),
  },
  { error: 'must be a JSON object' },
);
type Fields = z.output<typeof fields>;

const schema = fields.check(({ value, issues }) => {
  const refuse = (field: keyof Fields, message: string): void => {
    issues.push({ code: 'custom', path: [field], message, input: value[field] });
  };
  if (value.num_experts_per_tok > value.num_experts) {
    refuse('num_experts_per_tok', `must not be larger than num_experts, which is ${value.num_experts}`);
  }
  if (value.num_attention_heads % value.num_key_value_heads !== 0) {
    refuse('num_attention_heads', `must be a multiple of num_key_value_heads, ${value.num_key_value_heads}`);
  }
  if (value.head_dim == null && value.hidden_size % value.num_attention_heads !== 0) {
    refuse('hidden_size', 'must be a multiple of num_attention_heads where head_dim is absent');
  } else if (headSizeOf(value) % 2 !== 0) {
    refuse('head_dim', `must be even, because RoPE turns pairs; here it comes to ${headSizeOf(value)}`);
  }
});

const headSizeOf = (value: Fields): number => value.head_dim ?? value.hidden_size / value.num_attention_heads;

function parseConfig(configJson: unknown, generationConfigJson: unknown): ModelConfig {
  const value = parseFields(schema, configJson, 'config.json');
  return {
    architecture: 'qwen3_moe',
    layers: value.num_hidden_layers,
    hiddenSize: value.hidden_size,
    attentionHeads: value.num_attention_heads,
    keyValueHeads: value.num_key_value_heads,
    headSize: headSizeOf(value),
    queryKeyNorm: true,
    ropeTheta: value.rope_parameters?.rope_theta ?? value.rope_theta ?? DEFAULT_ROPE_THETA,
    rmsNormEpsilon: value.rms_norm_eps ?? DEFAULT_RMS_NORM_EPSILON,
    experts: value.num_experts,
    expertsPerToken: value.num_experts_per_tok,
    normalizeGateWeights: value.norm_topk_prob ?? false,
    expertSize: value.moe_intermediate_size,
    vocabularySize: value.vocab_size,
    contextLength: value.max_position_embeddings,
    tiedEmbeddings: value.tie_word_embeddings ?? false,
    endOfSequenceIds: parseEndOfSequenceIds(configJson, generationConfigJson, value.vocab_size),
  };
}

function tensors(config: ModelConfig): ModelTensors {
  const { hiddenSize, vocabularySize } = config;
  const embedding = spec('model.embed_tokens.weight', vocabularySize, hiddenSize);
  return {
    embedding,
    finalNorm: spec('model.norm.weight', hiddenSize),
    languageModelHead: config.tiedEmbeddings ? embedding : spec('lm_head.weight', vocabularySize, hiddenSize),
    layer: (layer) => layerTensors(config, `model.layers.${layer}`),
  };
}

function layerTensors(config: ModelConfig, prefix: string): LayerTensors {
  const { hiddenSize, headSize, expertSize } = config;
  const queryWidth = config.attentionHeads * headSize;
  const keyValueWidth = config.keyValueHeads * headSize;
  return {
    inputNorm: spec(`${prefix}.input_layernorm.weight`, hiddenSize),
    queryProjection: spec(`${prefix}.self_attn.q_proj.weight`, queryWidth, hiddenSize),
    keyProjection: spec(`${prefix}.self_attn.k_proj.weight`, keyValueWidth, hiddenSize),
    valueProjection: spec(`${prefix}.self_attn.v_proj.weight`, keyValueWidth, hiddenSize),
    queryNorm: spec(`${prefix}.self_attn.q_norm.weight`, headSize),
    keyNorm: spec(`${prefix}.self_attn.k_norm.weight`, headSize),
    outputProjection: spec(`${prefix}.self_attn.o_proj.weight`, hiddenSize, queryWidth),
    postAttentionNorm: spec(`${prefix}.post_attention_layernorm.weight`, hiddenSize),
    router: spec(`${prefix}.mlp.gate.weight`, config.experts, hiddenSize),
    expert: (expert) => ({
      gate: spec(`${prefix}.mlp.experts.${expert}.gate_proj.weight`, expertSize, hiddenSize),
      up: spec(`${prefix}.mlp.experts.${expert}.up_proj.weight`, expertSize, hiddenSize),
      down: spec(`${prefix}.mlp.experts.${expert}.down_proj.weight`, hiddenSize, expertSize),
    }),
  };
}

const spec = (name: string, ...shape: number[]): TensorSpec => ({ name, shape });

/** Qwen3-MoE: `Qwen3MoeForCausalLM` of Hugging Face Transformers. */
export const qwen3Moe: Architecture = { parseConfig, tensors };
