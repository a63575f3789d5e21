import { availableParallelism } from 'node:os';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../shared/model/config.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import { fullCacheBytes } from '../attention/cache-size.ts';
import type { AttentionKernels } from '../attention/worker-protocol.ts';
import { type LaneMemory, laneBytes } from '../exchange/lane-layout.ts';
import { KernelMemory } from '../kernels/kernel-memory.ts';
import { compileKernels, loadKernels } from '../kernels/load-kernels.ts';
import { type AttentionSizes, layOutAttention } from '../runtime/kernel/attention-layout.ts';
import { isKernelFormat, kernelExpertBytes } from '../runtime/kernel/kernel-experts.ts';
import type { KernelReach, KernelSource, TeamSource } from '../runtime/kernel/kernel-source.ts';
import {
  allocateProducts,
  isMultipliedAsBytes,
  type ProductScratch,
  productsAreExact,
} from '../runtime/kernel/product-scratch.ts';
import { Region } from '../runtime/kernel/region.ts';
import type { MatrixFormat } from '../runtime/matrix.ts';
import { expertFormat, type WeightFormats } from '../runtime/weights.ts';
import { TeamBoard } from '../team/team-board.ts';
import { ExpertRoom } from './expert-room.ts';
import type { HostOptions, KernelChoice } from './host-options.ts';
import {
  attentionSizes,
  KERNEL_MEMORY_BYTES,
  kernelObstacle,
  reachOf,
  scratchBytes,
  widestInput,
} from './kernel-coverage.ts';

/** What a host's instances are to find in kernel memory. */
export interface HostKernels {
  /** Of the experts of this host; absent where it has none. */
  readonly placement?: Placement;
  readonly expertRows: number;
  readonly attentionInstances?: number;
  /** Expert instances of all hosts that lanes are sized for. */
  readonly placedInstances?: number;
  /** Senders of layer steps to these experts, each of which has a lane. Default: none. */
  readonly lanes?: number;
}

/** What is asked of a host. */
export interface PlannedHost {
  readonly id: string;
  readonly options: Pick<HostOptions, 'kernels' | 'limits'>;
  readonly config: ModelConfig;
  readonly formats: WeightFormats;
}

/** Plans the kernel memory of a host. @throws JanusError where kernels were asked for that are not possible */
export function planHostKernels(
  { id, options, config, formats }: PlannedHost,
  { placement, expertRows, attentionInstances = 0, lanes = 0, placedInstances = 1 }: HostKernels,
): KernelPlan | null {
  const own = placement?.instances.filter(({ host }) => host === id) ?? [];
  // Where experts change while they serve, the next ones are loaded beside those that are to go.
  const spareExperts = attentionInstances > 0 ? 0 : own.length * (placement?.capacity ?? 0);
  return planKernels({
    config,
    formats,
    choice: options.kernels,
    experts: (placement?.layers ?? []).map(
      ({ slots }) => new Set(own.flatMap((instance) => slots[instance.id]!)),
    ),
    expertInstances: own.length,
    spareExperts,
    attentionInstances,
    expertRows,
    attentionRows: options.limits.tokenBudget,
    slots: options.limits.slots,
    lanes,
    laneBytes: laneBytes({
      shape: { maxRows: expertRows, hiddenSize: config.hiddenSize, expertsPerToken: config.expertsPerToken },
      instances: own.length,
      placedInstances,
      experts: config.experts,
    }),
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
  /** Number of lanes, and the size of each. */
  readonly lanes: number;
  readonly laneBytes: number;
  /** Experts per layer for which there is to be room beside those, as far as there is memory. Default: none. */
  readonly spareExperts?: number;
}

export interface KernelPlan {
  /** Places of the lanes. */
  readonly lanes: readonly LaneMemory[];
  /** For experts that come and go. */
  readonly room: ExpertRoom;
  /** Of the expert instance at `index` of the host. */
  expert(index: number): { readonly source: KernelSource; readonly team: TeamSource };
  /** Of the attention instance at `index`. */
  attention(index: number): AttentionKernels;
}

/**
 * Time that an idle thread looks for work before it sleeps: as long as most waits within a layer last, since on a virtual machine
 * to be woken costs from 60 µs to much more where the host is busy; a tenth of what a scheduler lets a thread run on, so that a busy
 * processor loses little.
 */
const SPIN_MS = 0.3;

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
  const reach = reachOf(demand.choice, loadKernels(memory.memory, module));
  const forms = Object.values(formats as unknown as Record<string, MatrixFormat>);
  if (!forms.some((format) => isKernelFormat(format, reach))) return null;
  const experts = placeExperts(demand, reach, memory);
  const bytes = scratchBytes(config, demand.expertRows);
  const scratch = Array.from({ length: expertInstances + attentionInstances }, () => memory.allocate(bytes));
  const products = scratch.map(() => placeProducts(demand, memory));
  // Before the KV caches, which take what is left.
  const lanes = Array.from({ length: demand.lanes }, () => memory.allocate(demand.laneBytes));
  const sizes = attentionSizes(demand, reach);
  const regions = sizes === null ? [] : placeAttention(config, sizes, attentionInstances, memory);
  const room = new ExpertRoom(experts, config.experts, expertSizes(demand, reach));
  room.reserve(memory, demand.spareExperts ?? 0);
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
    reach,
    maxRows: demand.expertRows,
  });
  return {
    lanes: lanes.map((offset) => ({ memory: memory.memory, offset })),
    room,
    expert: (index) => ({ source: source(index), team }),
    attention: (index) => ({
      source: source(expertInstances + index),
      team,
      computes: sizes === null ? null : { ...sizes, ...regions[index]!, board: index },
    }),
  };
}

/** By layer the bytes of an expert in kernel memory; 0 where it does not lie there. */
function expertSizes({ config, formats }: KernelDemand, reach: KernelReach): number[] {
  return Array.from({ length: config.layers }, (_, layer) =>
    kernelExpertBytes(config, expertFormat(formats, layer), reach),
  );
}

/** Gives each expert of the host a place, once however many of its instances hold it. */
function placeExperts(demand: KernelDemand, reach: KernelReach, memory: KernelMemory): SharedArrayBuffer {
  const { config, experts } = demand;
  const sizes = expertSizes(demand, reach);
  const buffer = new SharedArrayBuffer(4 * config.layers * config.experts);
  const offsets = new Int32Array(buffer);
  for (const [layer, held] of experts.entries()) {
    const bytes = sizes[layer]!;
    if (bytes === 0) continue;
    for (const expert of held) offsets[layer * config.experts + expert] = memory.allocate(bytes);
  }
  return buffer;
}

/** Memory of a thread for products of bytes, where any matrix is multiplied so. */
function placeProducts(demand: KernelDemand, memory: KernelMemory): ProductScratch | null {
  const formats = Object.values(demand.formats as unknown as Record<string, MatrixFormat>);
  if (!formats.some((format) => format.form === 'blocks' && isMultipliedAsBytes(format))) return null;
  const { config, expertRows, attentionRows, slots } = demand;
  return allocateProducts(
    memory,
    widestInput(config),
    Math.max(expertRows, attentionRows, slots),
    productsAreExact(),
  );
}

/** Weights and buffers of each attention instance, and an equal share of what is left for its KV cache. */
function placeAttention(config: ModelConfig, sizes: AttentionSizes, instances: number, memory: KernelMemory) {
  const counted = new Region();
  layOutAttention(config, sizes, counted);
  const bytes = counted.usedBytes;
  const offsets = Array.from({ length: instances }, () => memory.allocate(bytes));
  const left = Math.floor((KERNEL_MEMORY_BYTES - memory.allocatedBytes) / instances / 2 ** 16 - 1) * 2 ** 16;
  const ofOne = fullCacheBytes(config);
  if (left < ofOne) {
    throw new JanusError(
      `Beside experts and weights, kernel memory has no room for the KV cache of one sequence of ${config.contextLength} ` +
        `tokens (${Math.ceil(ofOne / 2 ** 20)} MiB) per attention instance: lower --attention or --token-budget, spread the ` +
        'experts over more hosts, or choose --kernels onnx.',
    );
  }
  const cacheBytes = Math.min(sizes.slots * ofOne, left);
  return offsets.map((offset) => ({ offset, bytes, cacheOffset: memory.allocate(cacheBytes), cacheBytes }));
}
