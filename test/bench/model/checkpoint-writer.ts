import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelConfig } from '../../../shared/model/config.ts';
import { elementCount } from '../../../shared/model/safetensors.ts';
import type { TensorSpec } from '../../../shared/model/tensor-specs.ts';
import { modelTensors, roleTensors } from '../../../shared/model/tensors.ts';
import { bfloat16Table, normalSample, Xoshiro128 } from './normal-weights.ts';

const BYTES_PER_WEIGHT = 2;
const DEFAULT_SHARD_BYTES = 2 ** 30;
/** Weights are made and written in pieces of this size, so that memory stays small whatever the model. */
const PIECE_WEIGHTS = 2 ** 21;
/** Hugging Face pads the header so that the data begin aligned. */
const HEADER_ALIGNMENT_BYTES = 8;

/** Told after each piece that was written. */
export type Progress = (writtenBytes: number, totalBytes: number) => void;

interface Distribution {
  readonly center: number;
  readonly deviation: number;
}

/** Against what would keep the size of the attention's input. */
const ATTENTION_GAIN = 0.25;
const LOGIT_DEVIATION = 2;

/**
 * How the weights of each tensor are drawn, so that activations stay of the order of 1 through all layers: matrices have
 * variance 1 / inputs, and experts add about a fifth of the residual stream's size per layer.
 *
 * Router logits have deviation 1, so that the top-k weigh differently. For routing to be spread over the experts, tokens must
 * stay different: attention over random weights takes means, whose common part would double with every layer at full gain.
 * Logits have deviation 2, so that the best token is clear and yet answers differ.
 */
function distributions(config: ModelConfig): (spec: TensorSpec) => Distribution {
  const tensors = modelTensors(config);
  const gains = new Map([[tensors.languageModelHead.name, LOGIT_DEVIATION]]);
  for (let layer = 0; layer < config.layers; layer++) {
    gains.set(tensors.layer(layer).outputProjection.name, ATTENTION_GAIN);
  }
  return ({ name, shape }) => {
    if (shape.length === 1) return { center: 1, deviation: 0.1 };
    if (name === tensors.embedding.name) return { center: 0, deviation: 1 };
    return { center: 0, deviation: (gains.get(name) ?? 1) / Math.sqrt(shape[1]!) };
  };
}

const byteLength = ({ shape }: TensorSpec): number => elementCount(shape) * BYTES_PER_WEIGHT;

/** Bytes of all weights of such a model. */
export const checkpointBytes = (config: ModelConfig): number =>
  [...roleTensors(config, 'both')].reduce((sum, spec) => sum + byteLength(spec), 0);

/** Cuts the tensors into shards, in order. */
function cutIntoShards(tensors: Iterable<TensorSpec>, shardBytes: number): TensorSpec[][] {
  const shards: TensorSpec[][] = [[]];
  let bytes = 0;
  for (const spec of tensors) {
    if (bytes > shardBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(spec);
    bytes += byteLength(spec);
  }
  return shards;
}

/**
 * Writes random weights for a model as bf16 shards with an index. The same arguments give the same bytes.
 *
 * @param folder an existing folder
 * @param shardBytes a shard is closed when it has become larger than this
 */
export async function writeWeights(
  folder: string,
  config: ModelConfig,
  seed: number,
  progress: Progress,
  shardBytes = DEFAULT_SHARD_BYTES,
): Promise<void> {
  const shards = cutIntoShards(roleTensors(config, 'both'), shardBytes);
  const digits = (n: number): string => String(n).padStart(5, '0');
  const fileOf = (i: number): string => `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`;
  const totalBytes = checkpointBytes(config);
  const fill = weightFiller(config, seed);
  let writtenBytes = 0;
  for (const [i, tensors] of shards.entries()) {
    const file = await open(join(folder, fileOf(i)), 'w');
    try {
      await writeAll(file, safetensorsHeader(tensors));
      for (const spec of tensors) {
        for (const piece of fill(spec)) {
          await writeAll(file, piece);
          writtenBytes += piece.length;
          progress(writtenBytes, totalBytes);
        }
      }
    } finally {
      await file.close();
    }
  }
  const weightMap = Object.fromEntries(
    shards.flatMap((tensors, i) => tensors.map(({ name }) => [name, fileOf(i)])),
  );
  const index = { metadata: { total_size: totalBytes }, weight_map: weightMap };
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
}

/** The length of the header, and the header. */
function safetensorsHeader(tensors: readonly TensorSpec[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let begin = 0;
  for (const spec of tensors) {
    const end = begin + byteLength(spec);
    header[spec.name] = { dtype: 'BF16', shape: spec.shape, data_offsets: [begin, end] };
    begin = end;
  }
  const text = JSON.stringify(header);
  const length = Math.ceil(text.length / HEADER_ALIGNMENT_BYTES) * HEADER_ALIGNMENT_BYTES;
  const bytes = Buffer.alloc(8 + length, ' ');
  bytes.writeBigUInt64LE(BigInt(length));
  bytes.write(text, 8);
  return bytes;
}

/** Gives the bytes of one tensor after the other, piece by piece; a piece is overwritten by the next one. */
function weightFiller(config: ModelConfig, seed: number): (spec: TensorSpec) => Generator<Uint8Array> {
  const distributionOf = distributions(config);
  const sample = normalSample(seed);
  const random = new Xoshiro128(seed);
  const tables = new Map<string, Uint16Array>();
  const buffer = new Uint16Array(PIECE_WEIGHTS);
  return function* (spec) {
    const { center, deviation } = distributionOf(spec);
    const key = `${center}/${deviation}`;
    const table = tables.get(key) ?? bfloat16Table(sample, center, deviation);
    tables.set(key, table);
    const count = elementCount(spec.shape);
    for (let first = 0; first < count; first += PIECE_WEIGHTS) {
      const piece = buffer.subarray(0, Math.min(PIECE_WEIGHTS, count - first));
      random.pick(table, piece);
      yield new Uint8Array(piece.buffer, 0, piece.byteLength);
    }
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}
