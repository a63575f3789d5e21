import { availableParallelism } from 'node:os';
import type { ModelConfig } from '../../shared/model/config.ts';
import type { Provider } from '../../shared/sizing/choose-instances.ts';
import { fullCacheBytes } from '../attention/cache-size.ts';
import { KernelMemory } from '../kernels/kernel-memory.ts';
import { kernelsRun } from '../kernels/kernel-support.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { loadKernels } from '../kernels/load-kernels.ts';
import { attentionScratchBytes } from '../kernels/sizes.ts';
import { type AttentionSizes, kernelsFit, layOutAttention } from '../runtime/kernel/attention-layout.ts';
import { expertScratch, isKernelFormat, kernelExpertBytes } from '../runtime/kernel/kernel-experts.ts';
import type { KernelReach } from '../runtime/kernel/kernel-source.ts';
import { allocateProducts, productsAreExact } from '../runtime/kernel/product-scratch.ts';
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
  const reach = reachOf(choice, loadKernels(new KernelMemory(1).memory));
  const most = expertFormat(formats, config.layers - 1);
  const experts = isKernelFormat(most, reach) ? 'kernels' : 'onnx-runtime';
  const sizes = attentionSizes(demand, reach);
  if (sizes === null) return { ...none, experts };
  return {
    experts,
    attention: 'kernels',
    attentionLimit: attentionInstancesThatFit(demand, sizes, reach),
  };
}

/** Why the kernels can compute nothing of this model here; null where they can compute some. */
export function kernelObstacle(config: ModelConfig, formats: WeightFormats): string | null {
  const all = Object.values(formats as unknown as Record<string, MatrixFormat>);
  if (all.every(({ form }) => form === 'f32')) {
    return 'f32 weights are computed by ONNX Runtime; choose --dtype int8 or int4';
  }
  if (!kernelsRun()) return 'this machine or Node has no relaxed SIMD';
  return kernelsFit(config)
    ? null
    : "the model's sizes are no multiples of 8, or its heads no multiples of 16";
}

/**
 * Without AVX-VNNI the kernels take an int8 code in two halves, and ONNX Runtime's product of blocks is faster from two rows on, but
 * not faster than its product of bytes. int4 they multiply about as fast as it for many rows, and nearly twice as fast for one.
 */
export function reachOf(choice: KernelChoice, { wideDot }: Kernels): KernelReach {
  if (choice === 'wasm' || wideDot.value === 1) return 'int8';
  return productsAreExact() ? 'bytes' : 'int4';
}

/** What an attention instance's memory depends on; null where ONNX Runtime computes attention. */
export function attentionSizes(
  { formats, attentionRows, slots }: Omit<CoverageDemand, 'choice'>,
  reach: KernelReach,
): AttentionSizes | null {
  const { attention, head } = formats;
  return isKernelFormat(attention, reach) && isKernelFormat(head, reach)
    ? { maxRows: attentionRows, slots, attention, head }
    : null;
}

/** How often weights, buffers and the KV cache of one sequence of full length fit beside all experts. */
function attentionInstancesThatFit(
  { config, formats, attentionRows }: CoverageDemand,
  sizes: AttentionSizes,
  reach: KernelReach,
): number {
  let expertBytes = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    expertBytes += config.experts * kernelExpertBytes(config, expertFormat(formats, layer), reach);
  }
  const region = new Region();
  layOutAttention(config, sizes, region);
  const perThread = scratchBytes(config, attentionRows) + productBytes(config, attentionRows);
  const each = region.usedBytes + fullCacheBytes(config) + perThread;
  // Expert instances are at most as many as processors, where nobody asks for more.
  const left = KERNEL_MEMORY_BYTES - expertBytes - availableParallelism() * perThread;
  return Math.max(0, Math.floor(left / each));
}

/** Memory of a thread that computes up to so many rows at once. */
export function scratchBytes(config: ModelConfig, rows: number): number {
  const region = new Region();
  expertScratch(config, rows, region);
  const { attentionHeads, keyValueHeads, headSize } = config;
  return Math.max(region.usedBytes, attentionScratchBytes(attentionHeads, keyValueHeads, headSize));
}

function productBytes(config: ModelConfig, rows: number): number {
  const region = new Region();
  allocateProducts(region, widestInput(config), rows, true);
  return region.usedBytes;
}

/** Inputs of the widest matrix. */
export const widestInput = ({ hiddenSize, expertSize, attentionHeads, headSize }: ModelConfig): number =>
  Math.max(hiddenSize, expertSize, attentionHeads * headSize);
