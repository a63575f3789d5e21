import type { ModelConfig } from '../../shared/model/config.ts';
import type { Provider } from '../../shared/sizing/choose-instances.ts';
import { KernelMemory } from '../kernels/kernel-memory.ts';
import { type Kernels, kernelSupport, loadKernels } from '../kernels/kernels.ts';
import {
  type AttentionSizes,
  cacheBytesPerToken,
  kernelsFit,
  layOutAttention,
} from '../runtime/kernel/attention-layout.ts';
import { isKernelFormat, kernelExpertBytes } from '../runtime/kernel/kernel-experts.ts';
import { Region } from '../runtime/kernel/region.ts';
import type { MatrixFormat } from '../runtime/matrix.ts';
import { expertFormat, type WeightFormats } from '../runtime/weights.ts';
import type { KernelChoice } from './host-options.ts';

/** Address space of a WebAssembly memory. */
export const KERNEL_MEMORY_BYTES = 2 ** 32 - 2 ** 16;

/** Who computes what of a model on this machine. */
export interface KernelCoverage {
  /** Of most layers: the first ones may have another form. */
  readonly experts: Provider;
  readonly attention: Provider;
  /** Attention instances for which kernel memory has room beside all experts; infinite where they do not need it. */
  readonly attentionLimit: number;
}

/** What is to be covered. */
export interface CoverageDemand {
  readonly config: ModelConfig;
  readonly formats: WeightFormats;
  readonly choice: KernelChoice;
  /** Rows that an attention instance computes at once. */
  readonly attentionRows: number;
  /** KV slots of an attention instance. */
  readonly slots: number;
}

/** Tells who computes what. @throws JanusError if kernels are to compute and were not built */
export function coverKernels(demand: CoverageDemand): KernelCoverage {
  const { config, formats, choice } = demand;
  const none = {
    experts: 'onnx-runtime',
    attention: 'onnx-runtime',
    attentionLimit: Number.POSITIVE_INFINITY,
  } as const;
  if (choice === 'onnx' || kernelObstacle(config, formats) !== null) return none;
  const mostBits = mostBitsOf(choice, loadKernels(new KernelMemory(1).memory));
  const most = expertFormat(formats, config.layers - 1);
  const experts = isKernelFormat(most, mostBits) ? 'kernels' : 'onnx-runtime';
  const sizes = attentionSizes(demand, mostBits);
  if (sizes === null) return { ...none, experts };
  return {
    experts,
    attention: 'kernels',
    attentionLimit: attentionInstancesThatFit(demand, sizes, mostBits),
  };
}

/** Why the kernels can compute nothing of this model here; null where they can compute some. */
export function kernelObstacle(config: ModelConfig, formats: WeightFormats): string | null {
  const all = Object.values(formats as unknown as Record<string, MatrixFormat>);
  if (all.every(({ form }) => form === 'f32')) {
    return 'f32 weights are computed by ONNX Runtime; choose --dtype int8 or int4';
  }
  if (kernelSupport() === 'none') return 'this machine or Node has no relaxed SIMD';
  return kernelsFit(config)
    ? null
    : "the model's sizes are no multiples of 8, or its heads no multiples of 16";
}

/**
 * Without AVX-VNNI the kernels take an int8 code in two halves, and ONNX Runtime is faster from two rows on; int4 they
 * multiply about as fast as it for many rows, and nearly twice as fast for one.
 */
export function mostBitsOf(choice: KernelChoice, { wideDot }: Kernels): 4 | 8 {
  return choice === 'wasm' || wideDot.value === 1 ? 8 : 4;
}

/** What an attention instance's memory depends on; null where ONNX Runtime computes attention. */
export function attentionSizes(
  { formats, attentionRows, slots }: Omit<CoverageDemand, 'choice'>,
  mostBits: 4 | 8,
): AttentionSizes | null {
  const { attention, head } = formats;
  return isKernelFormat(attention, mostBits) && isKernelFormat(head, mostBits)
    ? { maxRows: attentionRows, slots, attention, head }
    : null;
}

/** How often weights, buffers and the KV cache of one sequence of full length fit beside all experts. */
function attentionInstancesThatFit(
  { config, formats }: CoverageDemand,
  sizes: AttentionSizes,
  mostBits: 4 | 8,
): number {
  let expertBytes = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    expertBytes += config.experts * kernelExpertBytes(config, expertFormat(formats, layer), mostBits);
  }
  const region = new Region();
  layOutAttention(config, sizes, region);
  const cacheBytes = config.contextLength * cacheBytesPerToken(config);
  return Math.max(0, Math.floor((KERNEL_MEMORY_BYTES - expertBytes) / (region.usedBytes + cacheBytes)));
}
