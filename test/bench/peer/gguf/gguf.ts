import { existsSync } from 'node:fs';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '../../../../gpu-pool/checkpoint/checkpoint.ts';
import { loadModelFolder } from '../../../../gpu-pool/checkpoint/model-folder.ts';
import { JanusError } from '../../../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../../../shared/model/config.ts';
import { elementCount } from '../../../../shared/model/safetensors.ts';
import type { TensorSpec } from '../../../../shared/model/tensor-specs.ts';
import { modelTensors } from '../../../../shared/model/tensors.ts';
import { F16, F32, Q4_0, Q8_0, type TensorFormat } from './blocks.ts';
import { ALIGNMENT_BYTES, type GgufTensor, type MetadataValue, writeGguf } from './container.ts';

/** Formats of the large matrices, and their numbers in `general.file_type` (`llama_ftype`). */
const FILE_TYPES = {
  F16: { format: F16, fileType: 1 },
  Q8_0: { format: Q8_0, fileType: 7 },
  Q4_0: { format: Q4_0, fileType: 2 },
} as const satisfies Record<string, { format: TensorFormat; fileType: number }>;

export type GgufType = keyof typeof FILE_TYPES;

const ARCHITECTURE = 'qwen3moe';
/** Changes when the same checkpoint gives other bytes, so that an older file is not taken for this version's. */
const WRITER_VERSION = 1;
/** Version of the block formats, the only one that is still read. */
const QUANTIZATION_VERSION = 2;
/** Weights that are encoded at once. */
const PIECE_WEIGHTS = 2 ** 22;
const NORMAL_TOKEN = 1;
const CONTROL_TOKEN = 3;

/**
 * Writes a checkpoint as GGUF beside its safetensors, or finds the file that was written before. Norms and routers stay
 * f32, as llama.cpp keeps them; every other matrix gets the format, the head too (`llama-quantize --pure`: less to read
 * than llama.cpp's own mixture, in which the head is finer).
 *
 * @param folder Hugging Face checkpoint of a qwen3_moe model
 * @param log told before the file is written
 * @returns path of the file
 * @throws JanusError when the checkpoint cannot be read, or the architecture has something that is not stored here
 */
export async function ensureGguf(
  folder: string,
  type: GgufType,
  log: (line: string) => void = () => {},
): Promise<string> {
  const path = join(folder, `model-${type.toLowerCase()}-v${WRITER_VERSION}.gguf`);
  if (existsSync(path)) return path;
  log(`writing ${path}`);
  const temporary = `${path}.${process.pid}.tmp`;
  const { config, checkpoint } = loadModelFolder(folder);
  try {
    const metadata = await metadataOf(folder, config, type);
    await writeGguf(temporary, metadata, ggufTensors(config, checkpoint, FILE_TYPES[type].format));
    await rename(temporary, path);
  } finally {
    checkpoint.close();
    await rm(temporary, { force: true });
  }
  return path;
}

async function metadataOf(
  folder: string,
  config: ModelConfig,
  type: GgufType,
): Promise<Record<string, MetadataValue>> {
  // llama.cpp scales the gate weights of this architecture to sum to one, whatever the file says.
  if (!config.normalizeGateWeights) {
    throw new JanusError(`${folder}/config.json: norm_topk_prob must be true for a GGUF of ${ARCHITECTURE}.`);
  }
  const sizes = {
    block_count: config.layers,
    context_length: config.contextLength,
    embedding_length: config.hiddenSize,
    feed_forward_length: config.expertSize * config.expertsPerToken,
    'attention.head_count': config.attentionHeads,
    'attention.head_count_kv': config.keyValueHeads,
    'attention.key_length': config.headSize,
    'attention.value_length': config.headSize,
    expert_count: config.experts,
    expert_used_count: config.expertsPerToken,
    expert_feed_forward_length: config.expertSize,
    vocab_size: config.vocabularySize,
  };
  return {
    'general.architecture': { string: ARCHITECTURE },
    'general.name': { string: 'Janus benchmark model' },
    'general.alignment': { uint32: ALIGNMENT_BYTES },
    'general.file_type': { uint32: FILE_TYPES[type].fileType },
    'general.quantization_version': { uint32: QUANTIZATION_VERSION },
    ...Object.fromEntries(
      Object.entries(sizes).map(([key, value]) => [`${ARCHITECTURE}.${key}`, { uint32: value }]),
    ),
    [`${ARCHITECTURE}.attention.layer_norm_rms_epsilon`]: { float32: config.rmsNormEpsilon },
    [`${ARCHITECTURE}.rope.freq_base`]: { float32: config.ropeTheta },
    ...(await tokenizerMetadata(folder, config)),
  };
}

/** The parts of `tokenizer.json` and `tokenizer_config.json` that go into the file. */
interface TokenizerJson {
  readonly added_tokens: readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly string[])[];
  };
}

async function tokenizerMetadata(
  folder: string,
  config: ModelConfig,
): Promise<Record<string, MetadataValue>> {
  const read = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, name), 'utf8'));
  const { added_tokens: added, model } = (await read('tokenizer.json')) as TokenizerJson;
  const { chat_template: template } = (await read('tokenizer_config.json')) as { chat_template?: string };
  const tokens = Array.from({ length: config.vocabularySize }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(config.vocabularySize).fill(NORMAL_TOKEN);
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content, special } of added) {
    tokens[id] = content;
    if (special) types[id] = CONTROL_TOKEN;
  }
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  const [endOfSequence] = config.endOfSequenceIds;
  return {
    'tokenizer.ggml.model': { string: 'gpt2' },
    'tokenizer.ggml.pre': { string: 'qwen2' },
    'tokenizer.ggml.tokens': { strings: tokens },
    'tokenizer.ggml.token_type': { int32s: types },
    'tokenizer.ggml.merges': { strings: merges },
    'tokenizer.ggml.add_bos_token': { bool: false },
    ...(endOfSequence !== undefined && { 'tokenizer.ggml.eos_token_id': { uint32: endOfSequence } }),
    ...(template !== undefined && { 'tokenizer.chat_template': { string: template } }),
  };
}

/**
 * The tensors under llama.cpp's names, the experts of a layer stacked. Rows need no permutation: for this architecture
 * llama.cpp turns the halves of a head against each other, as Hugging Face does, and not neighbours.
 */
function ggufTensors(config: ModelConfig, checkpoint: Checkpoint, format: TensorFormat): GgufTensor[] {
  const stored = (name: string, as: TensorFormat, ...parts: readonly TensorSpec[]): GgufTensor => {
    const dimensions = [...parts[0]!.shape].reverse();
    if (parts.length > 1) dimensions.push(parts.length);
    return { name, dimensions, format: as, pieces: () => encodePieces(checkpoint, parts, as) };
  };
  const tensors = modelTensors(config);
  const result = [
    stored('token_embd.weight', format, tensors.embedding),
    stored('output_norm.weight', F32, tensors.finalNorm),
    stored('output.weight', format, tensors.languageModelHead),
  ];
  const expertIds = Array.from({ length: config.experts }, (_, id) => id);
  for (let index = 0; index < config.layers; index++) {
    const layer = tensors.layer(index);
    const experts = expertIds.map((id) => layer.expert(id));
    const add = (name: string, as: TensorFormat, ...parts: readonly TensorSpec[]): void => {
      result.push(stored(`blk.${index}.${name}.weight`, as, ...parts));
    };
    add('attn_norm', F32, layer.inputNorm);
    add('attn_q', format, layer.queryProjection);
    add('attn_k', format, layer.keyProjection);
    add('attn_v', format, layer.valueProjection);
    if (layer.queryNorm !== null) add('attn_q_norm', F32, layer.queryNorm);
    if (layer.keyNorm !== null) add('attn_k_norm', F32, layer.keyNorm);
    add('attn_output', format, layer.outputProjection);
    add('ffn_norm', F32, layer.postAttentionNorm);
    add('ffn_gate_inp', F32, layer.router);
    add('ffn_gate_exps', format, ...experts.map(({ gate }) => gate));
    add('ffn_up_exps', format, ...experts.map(({ up }) => up));
    add('ffn_down_exps', format, ...experts.map(({ down }) => down));
  }
  return result;
}

function* encodePieces(
  checkpoint: Checkpoint,
  parts: readonly TensorSpec[],
  format: TensorFormat,
): Generator<Uint8Array> {
  const largest = Math.max(...parts.map(({ shape }) => Math.min(PIECE_WEIGHTS, elementCount(shape))));
  const buffer = new Uint8Array(format.byteLength(largest));
  for (const { name, shape } of parts) {
    const weights = checkpoint.readFloat32(name, shape);
    for (let first = 0; first < weights.length; first += PIECE_WEIGHTS) {
      const piece = weights.subarray(first, first + PIECE_WEIGHTS);
      const target = buffer.subarray(0, format.byteLength(piece.length));
      format.encode(piece, target);
      yield target;
    }
  }
}
