import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { ASCII_TOKENS, MOST_WORDS, SPECIAL_TOKENS } from './tokenizer-json.ts';

/** Sizes of a synthetic Qwen3-MoE model, and the seed of its weights. */
export interface BenchModelOptions {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly expertSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly seed: number;
}

/** 1.73 billion parameters, of which a token activates 0.27 billion. */
const DEFAULT_MODEL: BenchModelOptions = {
  layers: 16,
  hiddenSize: 1024,
  attentionHeads: 16,
  keyValueHeads: 8,
  headSize: 64,
  experts: 64,
  expertsPerToken: 8,
  expertSize: 512,
  vocabularySize: 32_000,
  contextLength: 4096,
  seed: 1,
};

/** Models by the name that `--preset` takes. `experts16` and `experts128` activate as much per token as `default`. */
export const BENCH_MODELS = {
  default: DEFAULT_MODEL,
  experts16: { ...DEFAULT_MODEL, experts: 16 },
  experts128: { ...DEFAULT_MODEL, experts: 128 },
  /** For tests: written in a few milliseconds, with room for the prompts of the benchmarks. */
  tiny: {
    ...DEFAULT_MODEL,
    layers: 2,
    hiddenSize: 64,
    attentionHeads: 4,
    keyValueHeads: 2,
    headSize: 16,
    experts: 8,
    expertsPerToken: 2,
    expertSize: 32,
    vocabularySize: 512,
    contextLength: 2048,
  },
} as const satisfies Record<string, BenchModelOptions>;

export type BenchModelName = keyof typeof BENCH_MODELS;

/** Changes when the same options give other bytes, so that a cached model of an older version is not taken for this one's. */
const WRITER_VERSION = 1;

/** Names a model by its options: the same name, the same bytes. */
export function modelFingerprint(options: BenchModelOptions): string {
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([WRITER_VERSION, sorted]);
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** Folder for what benchmarks make and keep: `JANUS_BENCH_CACHE`, or `~/.cache/janus`. */
export const benchCache = (): string => process.env.JANUS_BENCH_CACHE || join(homedir(), '.cache', 'janus');

/** Content of `config.json`. */
export function configJson(options: BenchModelOptions): Record<string, unknown> {
  return {
    architectures: ['Qwen3MoeForCausalLM'],
    model_type: 'qwen3_moe',
    attention_bias: false,
    decoder_sparse_step: 1,
    eos_token_id: endOfTurnId(options),
    head_dim: options.headSize,
    hidden_act: 'silu',
    hidden_size: options.hiddenSize,
    intermediate_size: options.expertSize * options.expertsPerToken,
    max_position_embeddings: options.contextLength,
    mlp_only_layers: [],
    moe_intermediate_size: options.expertSize,
    norm_topk_prob: true,
    num_attention_heads: options.attentionHeads,
    num_experts: options.experts,
    num_experts_per_tok: options.expertsPerToken,
    num_hidden_layers: options.layers,
    num_key_value_heads: options.keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_scaling: null,
    rope_theta: 10_000,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    use_sliding_window: false,
    vocab_size: options.vocabularySize,
  };
}

/** Content of `generation_config.json`. */
export const generationConfigJson = (options: BenchModelOptions): Record<string, unknown> => ({
  eos_token_id: endOfTurnId(options),
  do_sample: true,
  temperature: 1,
});

const endOfTurnId = ({ vocabularySize }: BenchModelOptions): number =>
  vocabularySize - SPECIAL_TOKENS.length + SPECIAL_TOKENS.indexOf('<|im_end|>');

/** Q8_0 and Q4_0 blocks, and those of our own int8 and int4, hold this many weights of one row. */
const BLOCK_SIZE = 32;

/** @throws JanusError naming the size that cannot be */
export function checkOptions(options: BenchModelOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (!Number.isInteger(value) || (value < 1 && name !== 'seed')) {
      throw new JanusError(`${name} is ${value}; give a whole number of at least 1.`);
    }
  }
  for (const name of ['hiddenSize', 'expertSize'] as const) {
    if (options[name] % BLOCK_SIZE !== 0) {
      throw new JanusError(
        `${name} is ${options[name]}; give a multiple of ${BLOCK_SIZE}, the size of blocks.`,
      );
    }
  }
  if ((options.attentionHeads * options.headSize) % BLOCK_SIZE !== 0) {
    throw new JanusError(
      `attentionHeads × headSize must be a multiple of ${BLOCK_SIZE}, the size of blocks.`,
    );
  }
  const least = ASCII_TOKENS + SPECIAL_TOKENS.length;
  const most = least + MOST_WORDS;
  const { vocabularySize } = options;
  if (vocabularySize < least || vocabularySize > most) {
    throw new JanusError(
      `vocabularySize is ${vocabularySize}; the tokenizer has from ${least} to ${most} tokens.`,
    );
  }
}
