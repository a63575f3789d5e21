import { openHostMemory } from '../exchange/lane-memory.ts';
import { loadKernels } from '../kernels/load-kernels.ts';
import type { AttentionCompute } from '../runtime/attention-compute.ts';
import { AttentionModel } from '../runtime/attention-model.ts';
import { KernelAttentionModel } from '../runtime/kernel/kernel-attention-model.ts';
import { kernelTasks } from '../runtime/kernel/kernel-tasks.ts';
import { QuantizedProducts } from '../runtime/kernel/quantized-products.ts';
import { Region } from '../runtime/kernel/region.ts';
import type { OpenModel } from '../runtime/open-model.ts';
import { Team } from '../team/team.ts';
import { TeamBoard } from '../team/team-board.ts';
import { CacheRegion } from './cache-region.ts';
import { kernelRows } from './cache-rows.ts';
import { cacheUnitBytes } from './cache-size.ts';
import { KvCache } from './kv-cache.ts';
import type { AttentionKernels, AttentionWorkerData } from './worker-protocol.ts';

/** The attention side of one instance, and the KV cache that it reads. */
export interface OpenAttention {
  readonly model: AttentionCompute;
  readonly cache: KvCache;
}

/** Loads the attention side: in kernels where its matrices are kept in blocks, else in ONNX Runtime. */
export function openAttention(data: AttentionWorkerData, model: OpenModel): OpenAttention {
  const { config, weights, formats } = model;
  const { tokenBudget: maxRows, slots } = data.limits;
  const { layers, contextLength } = config;
  const shape = { slots, layers, kvWidth: config.keyValueHeads * config.headSize, contextLength };
  const { kernels, gate } = data;
  if (!kernels?.computes) {
    return {
      model: AttentionModel.load(config, weights, { formats, maxRows, gate }),
      cache: new KvCache(shape),
    };
  }
  const { source, computes } = kernels;
  const { memory } = source;
  const bound = loadKernels(memory, source.module);
  const products = new QuantizedProducts(bound, memory, source.products);
  const attention = new KernelAttentionModel(config, weights, {
    ...computes,
    kernels: bound,
    products,
    memory,
    region: new Region(computes.offset, computes.bytes),
    team: openTeam(data, kernels, kernelTasks(bound, products, memory, source.scratch)),
    gate,
  });
  const { cacheOffset, cacheBytes } = computes;
  const region = new CacheRegion(memory.buffer, cacheOffset, cacheBytes, cacheUnitBytes(config));
  const cache = new KvCache(shape, {
    allocate: (floats) => region.allocate(floats),
    free: (buffer) => region.free(buffer),
    rows: kernelRows(bound, config.keyValueHeads, config.headSize),
  });
  return { model: attention, cache };
}

function openTeam(
  { experts }: AttentionWorkerData,
  { team, computes }: AttentionKernels,
  run: ReturnType<typeof kernelTasks>,
): Team {
  if (experts.kind !== 'local' || team.helpers === 0) return Team.alone(run);
  const memory = openHostMemory(experts.shared);
  const { firstInstance } = experts.shared;
  const helpers = Array.from({ length: team.helpers }, (_, helper) => firstInstance + helper);
  return new Team({
    board: new TeamBoard(team.boards[computes!.board]),
    run,
    helpers: team.helpers,
    wake: () => {
      for (const helper of helpers) memory.ring(helper);
    },
    spinMs: team.spinMs,
    isHelperLost: () => helpers.some((helper) => !memory.isAlive(helper)),
  });
}
