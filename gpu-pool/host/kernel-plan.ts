import { availableParallelism } from 'node:os';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../shared/model/config.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { AttentionKernels } from '../attention/worker-protocol.ts';
import { KernelMemory } from '../kernels/kernel-memory.ts';
import { attentionScratchBytes, compileKernels, loadKernels } from '../kernels/kernels.ts';
import {
  type AttentionSizes,
  cacheBytesPerToken,
  layOutAttention,
} from '../runtime/kernel/attention-layout.ts';
import { expertScratch, isKernelFormat, kernelExpertBytes } from '../runtime/kernel/kernel-experts.ts';
import type { KernelSource, TeamSource } from '../runtime/kernel/kernel-source.ts';
import {
  allocateProducts,
  type ProductScratch,
  productsAreExact,
} from '../runtime/kernel/quantized-products.ts';
import { Region } from '../runtime/kernel/region.ts';
import type { MatrixFormat } from '../runtime/matrix.ts';
import { expertFormat, type WeightFormats } from '../runtime/weights.ts';
import { TeamBoard } from '../team/team-board.ts';
import type { Host } from './host.ts';
import type { KernelChoice } from './host-options.ts';
import { attentionSizes, KERNEL_MEMORY_BYTES, kernelObstacle, mostBitsOf } from './kernel-coverage.ts';

/** What a host's instances are to find in kernel memory. */
export interface HostKernels {
  /** Of the experts of this host; absent where it has none. */
  readonly placement?: Placement;
  readonly expertRows: number;
  readonly attentionInstances?: number;
}

/** Plans the kernel memory of `host`. @throws JanusError where kernels were asked for that are not possible */
export function planHostKernels(
  { id, options, config, formats }: Host,
  { placement, expertRows, attentionInstances = 0 }: HostKernels,
): KernelPlan | null {
  const own = placement?.instances.filter(({ host }) => host === id) ?? [];
  return planKernels({
    config,
    formats,
    choice: options.kernels,
    experts: (placement?.layers ?? []).map(
      ({ slots }) => new Set(own.flatMap((instance) => slots[instance.id]!)),
    ),
    expertInstances: own.length,
    attentionInstances,
    expertRows,
    attentionRows: options.limits.tokenBudget,
    slots: options.limits.slots,
  });
}

/** What a host's kernel memory has to hold. */
export interface KernelDemand {
  readonly config: ModelConfig;
  readonly formats: WeightFormats;
  readonly choice: KernelChoice;
  /** Per layer the experts of this host. */
  readonly experts: readonly ReadonlySet<number>[];
  readonly expertInstances: number;
  readonly attentionInstances: number;
  /** Rows that an expert, and that an attention instance computes at once. */
  readonly expertRows: number;
  readonly attentionRows: number;
  /** KV slots of an attention instance. */
  readonly slots: number;
}

export interface KernelPlan {
  /** Of the expert instance at `index` of the host. */
  expert(index: number): { readonly source: KernelSource; readonly team: TeamSource };
  /** Of the attention instance at `index`. */
  attention(index: number): AttentionKernels;
}

/** Time that an idle thread looks for work before it sleeps: about what it costs to be woken on a virtual machine. */
const SPIN_MS = 0.06;

/**
 * Lays out the kernel memory of a host: its experts, then for each attention instance weights, buffers and KV cache, and
 * for each thread scratch memory.
 *
 * @returns null where ONNX Runtime is to compute everything
 * @throws JanusError where `wasm` was asked for and is not possible
 */
export function planKernels(demand: KernelDemand): KernelPlan | null {
  const { choice, config, formats } = demand;
  const obstacle = choice === 'onnx' ? 'it was not asked for' : kernelObstacle(config, formats);
  if (obstacle === null) return layOut(demand);
  if (choice === 'wasm') throw new JanusError(`--kernels wasm is not possible: ${obstacle}.`);
  return null;
}

function layOut(demand: KernelDemand): KernelPlan | null {
  const { config, formats, expertInstances, attentionInstances } = demand;
  const memory = new KernelMemory();
  const module = compileKernels();
  const mostBits = mostBitsOf(demand.choice, loadKernels(memory.memory, module));
  const forms = Object.values(formats as unknown as Record<string, MatrixFormat>);
  if (!forms.some((format) => isKernelFormat(format, mostBits))) return null;
  const experts = placeExperts(demand, mostBits, memory);
  const scratchBytes = bytesOfScratch(demand);
  const scratch = Array.from({ length: expertInstances + attentionInstances }, () =>
    memory.allocate(scratchBytes),
  );
  const products = scratch.map(() => placeProducts(demand, memory));
  const sizes = attentionSizes(demand, mostBits);
  const regions = sizes === null ? [] : placeAttention(config, sizes, attentionInstances, memory);
  const processors = availableParallelism();
  const team: TeamSource = {
    boards: regions.map(() => new TeamBoard().buffer),
    helpers: Math.max(0, Math.min(expertInstances, processors - attentionInstances)),
    spinMs: expertInstances + attentionInstances <= processors ? SPIN_MS : 0,
  };
  const source = (thread: number): KernelSource => ({
    memory: memory.memory,
    module,
    experts,
    scratch: scratch[thread]!,
    products: products[thread]!,
    mostBits,
    maxRows: demand.expertRows,
  });
  return {
    expert: (index) => ({ source: source(index), team }),
    attention: (index) => ({
      source: source(expertInstances + index),
      team,
      computes: sizes === null ? null : { ...sizes, ...regions[index]!, board: index },
    }),
  };
}

/** Gives each expert of the host a place, once however many of its instances hold it. */
function placeExperts(
  { config, formats, experts }: KernelDemand,
  mostBits: 4 | 8,
  memory: KernelMemory,
): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(4 * config.layers * config.experts);
  const offsets = new Int32Array(buffer);
  for (const [layer, held] of experts.entries()) {
    const bytes = kernelExpertBytes(config, expertFormat(formats, layer), mostBits);
    if (bytes === 0) continue;
    for (const expert of held) offsets[layer * config.experts + expert] = memory.allocate(bytes);
  }
  return buffer;
}

function bytesOfScratch({ config, expertRows }: KernelDemand): number {
  const region = new Region();
  expertScratch(config, expertRows, region);
  const { contextLength, attentionHeads, keyValueHeads, headSize } = config;
  const bytesForAttention = attentionScratchBytes(contextLength, attentionHeads, keyValueHeads, headSize);
  return Math.max(region.usedBytes, bytesForAttention);
}

/** Memory of a thread for products by ONNX Runtime, where these are exact and it may be used. */
function placeProducts(
  { config, expertRows, attentionRows, slots }: KernelDemand,
  memory: KernelMemory,
): ProductScratch | null {
  if (!productsAreExact()) return null;
  const { hiddenSize, expertSize, attentionHeads, headSize } = config;
  const widest = Math.max(hiddenSize, expertSize, attentionHeads * headSize);
  return allocateProducts(memory, widest, Math.max(expertRows, attentionRows, slots));
}

/** Weights and buffers of each attention instance, and an equal share of what is left for its KV cache. */
function placeAttention(config: ModelConfig, sizes: AttentionSizes, instances: number, memory: KernelMemory) {
  const counted = new Region();
  layOutAttention(config, sizes, counted);
  const bytes = counted.usedBytes;
  const offsets = Array.from({ length: instances }, () => memory.allocate(bytes));
  // Its buffers are powers of two: twice its size is always enough.
  const wanted = 2 * sizes.slots * config.contextLength * cacheBytesPerToken(config);
  const left = Math.floor((KERNEL_MEMORY_BYTES - memory.allocatedBytes) / instances / 2 ** 16 - 1) * 2 ** 16;
  const cacheBytes = Math.min(wanted, left);
  return offsets.map((offset) => ({ offset, bytes, cacheOffset: memory.allocate(cacheBytes), cacheBytes }));
}
