import type { ModelConfig } from '../../shared/model/config.ts';
import type { LayerTensors, TensorSpec } from '../../shared/model/tensor-specs.ts';
import { modelTensors } from '../../shared/model/tensors.ts';
import type { MatrixFormat } from '../runtime/matrix.ts';
import { blockFormatOf } from '../runtime/quantize.ts';
import { expertFormat } from '../runtime/weights.ts';
import { type PackSettings, packedFormats } from './packed-formats.ts';
import { type PartFormat, partBytes } from './part-format.ts';

/** One tensor in its group. */
export interface PackedPart {
  /** Of the tensor in the checkpoint. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: PartFormat;
  /** First byte, counted from the beginning of the group; a multiple of `PART_ALIGNMENT`. */
  readonly offset: number;
  readonly bytes: number;
}

/** Tensors that are needed together: one range of one file. */
export interface GroupPlan {
  /** As errors name it: `embedding`, `head`, `layer 3 attention`, `layer 3 expert 5`. */
  readonly name: string;
  readonly file: string;
  /** First byte in the file, a multiple of `GROUP_ALIGNMENT`. */
  readonly offset: number;
  /** Parts and the zeros that align them. */
  readonly bytes: number;
  readonly parts: readonly PackedPart[];
}

/** A page: groups can be read directly into, or mapped to, whole pages. */
export const GROUP_ALIGNMENT = 4096;
/** A cache line, the alignment that kernels want. */
export const PART_ALIGNMENT = 64;

export const expertGroupName = (layer: number, expert: number): string => `layer ${layer} expert ${expert}`;

/**
 * Which tensor lies where, in which form. The forms are those in which the runtime holds the same tensors under the same
 * weight form, so that a packed model computes what its checkpoint does; norms and routers are f32 always.
 *
 * @param embeddingIsBfloat16 true where the checkpoint holds the embedding as bf16: then it is kept as it is, which is exact
 * @returns the largest groups first
 */
export function planGroups(
  config: ModelConfig,
  settings: PackSettings,
  embeddingIsBfloat16: boolean,
): GroupPlan[] {
  const tensors = modelTensors(config);
  const formats = partFormats(settings);
  const placer = new GroupPlacer();
  const embeddingFormat: PartFormat = embeddingIsBfloat16 ? { form: 'bf16' } : formats.embedding;
  placer.add('embedding', 'embedding.bin', [[tensors.embedding, embeddingFormat]]);
  // A tied head that is not quantised is the embedding itself.
  const ownHead = !config.tiedEmbeddings || formats.head.form === 'blocks';
  placer.add('head', 'head.bin', [
    [tensors.finalNorm, FLOAT32],
    ...(ownHead ? [[tensors.languageModelHead, formats.head] as const] : []),
  ]);
  for (let layer = 0; layer < config.layers; layer += 1) {
    const parts = attentionParts(tensors.layer(layer), formats.attention);
    placer.add(`layer ${layer} attention`, 'attention.bin', parts);
  }
  for (let layer = 0; layer < config.layers; layer += 1) {
    const format = formats.expert(layer);
    const own = tensors.layer(layer);
    for (let expert = 0; expert < config.experts; expert += 1) {
      const { gate, up, down } = own.expert(expert);
      const parts = [gate, up, down].map((spec) => [spec, format] as const);
      placer.add(expertGroupName(layer, expert), `experts-${layer}.bin`, parts);
    }
  }
  return placer.groups;
}

/** Bytes of each file. */
export function fileSizes(groups: readonly GroupPlan[]): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const { file, offset, bytes } of groups) sizes[file] = Math.max(sizes[file] ?? 0, offset + bytes);
  return sizes;
}

type PlannedPart = readonly [TensorSpec, PartFormat];

const FLOAT32: PartFormat = { form: 'f32' };
const FLOAT16: PartFormat = { form: 'f16' };

function attentionParts(tensors: LayerTensors, format: PartFormat): PlannedPart[] {
  const { queryNorm, keyNorm } = tensors;
  return [
    [tensors.inputNorm, FLOAT32],
    [tensors.queryProjection, format],
    [tensors.keyProjection, format],
    [tensors.valueProjection, format],
    ...[queryNorm, keyNorm].filter((norm) => norm !== null).map((norm) => [norm, FLOAT32] as const),
    [tensors.outputProjection, format],
    [tensors.postAttentionNorm, FLOAT32],
    [tensors.router, FLOAT32],
  ];
}

function partFormats(settings: PackSettings) {
  if (settings.dtype === 'f16') {
    return { embedding: FLOAT16, attention: FLOAT16, head: FLOAT16, expert: () => FLOAT16 };
  }
  const formats = packedFormats(settings);
  return {
    embedding: FLOAT32,
    attention: stored(formats.attention),
    head: stored(formats.head),
    expert: (layer: number) => stored(expertFormat(formats, layer)),
  };
}

function stored(format: MatrixFormat): PartFormat {
  if (format.form === 'f32') return FLOAT32;
  return { form: format.form, ...blockFormatOf(format) };
}

/** Lays groups out in their files, in the order in which they come. */
class GroupPlacer {
  readonly groups: GroupPlan[] = [];
  readonly #ends = new Map<string, number>();

  add(name: string, file: string, planned: readonly PlannedPart[]): void {
    const offset = align(this.#ends.get(file) ?? 0, GROUP_ALIGNMENT);
    let end = 0;
    const parts = planned.map(([spec, format]) => {
      const part = { ...spec, format, offset: end, bytes: partBytes(spec.shape, format) };
      end = align(end + part.bytes, PART_ALIGNMENT);
      return part;
    });
    this.groups.push({ name, file, offset, bytes: end, parts });
    this.#ends.set(file, offset + end);
  }
}

const align = (bytes: number, alignment: number): number => Math.ceil(bytes / alignment) * alignment;
