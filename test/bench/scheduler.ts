import { AebsKernel } from '../../gpu-pool/scheduler-kernel/aebs-kernel.ts';
import { type GpuDevice, openGpuDevice } from '../../gpu-pool/scheduler-kernel/gpu-device.ts';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { staticPlacement } from '../../shared/placement/placement.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import { createScheduler } from '../../shared/scheduler/create-scheduler.ts';
import { indexLayout, type LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import { allocateRowGroups, RowGroups } from '../../shared/scheduler/row-groups.ts';
import type { Scheduler } from '../../shared/scheduler/scheduler.ts';
import { SCHEDULER_NAMES } from '../../shared/scheduler/scheduling.ts';
import { uniformRouting } from '../support/scheduler/synthetic-steps.ts';

const EXPERTS = 160;
const INSTANCES = 16;
/** C; with 160 experts 32 of the 192 slots hold second replicas. */
const CAPACITY = 12;
const TOP_K = 8;
const TOKENS = [64, 512, 4096];
/** Routings that the calls go round, so that no branch predictor learns one of them by heart. */
const ROUTINGS = 16;
/** Calls before the timed ones, enough for the optimising compiler to be done. */
const WARM_UP_CALLS = 2_000;
const KERNEL_WARM_UP_CALLS = 50;
/** Attempts at measuring heap growth; a garbage collection spoils an attempt. */
const HEAP_ATTEMPTS = 5;
const SEED = 0x5eed;
/** µs of an int4 expert of 1024 × 512 on one x86 core, for `aebs-cost`. */
const OPTIONS = { costPerExpert: 107, costPerRow: 30 };

interface SchedulerCase {
  readonly scheduler: string;
  readonly tokens: number;
  readonly topK: number;
  readonly experts: number;
  readonly instances: number;
  /** Of `schedule`; for the GPU kernel from the routing in ordinary memory to the result there. */
  readonly p50Us: number;
  readonly p99Us: number;
  /** Of the GPU kernel alone, where the GPU can measure it. */
  readonly kernelP50Us: number | null;
  /** Of grouping the rows by what was scheduled. */
  readonly groupP50Us: number | null;
  /** Heap growth per call of both. */
  readonly heapBytesPerCall: number | null;
  readonly meanAMax: number;
}

/** Times every scheduler on uniform synthetic routing, one call at a time, on one thread; AEBS also as a GPU kernel. */
export async function run(options: { quick: boolean }): Promise<Record<string, unknown>> {
  const calls = options.quick ? 1_000 : 20_000;
  const cases = SCHEDULER_NAMES.flatMap((name) =>
    TOKENS.map((tokens) => timeScheduler(createScheduler(name, limitsFor(tokens), OPTIONS), calls)),
  );
  try {
    const gpu = await openGpuDevice();
    for (const tokens of TOKENS) cases.push(await timeKernel(gpu, limitsFor(tokens), calls / 10));
    gpu.close();
    return { cases, gpu: gpu.description };
  } catch (error) {
    if (!(error instanceof JanusError)) throw error;
    return { cases, gpu: `none: ${error.message}` };
  }
}

const limitsFor = (tokens: number): SchedulerLimits => ({
  maxTokens: tokens,
  topK: TOP_K,
  experts: EXPERTS,
  instances: INSTANCES,
});

function timeScheduler(scheduler: Scheduler, calls: number): SchedulerCase {
  const { limits } = scheduler;
  const { maxTokens: tokens, topK, experts, instances } = limits;
  const index = benchLayout();
  const routings = benchRoutings(tokens);
  const rowGroups = new RowGroups(limits, allocateRowGroups(limits));
  const scheduleUs = new Float64Array(calls);
  const groupUs = new Float64Array(calls);
  let aMaxSum = 0;
  for (let call = -WARM_UP_CALLS; call < calls; call += 1) {
    const routing = routings[(call + WARM_UP_CALLS) % ROUTINGS];
    const startedMs = performance.now();
    scheduler.schedule(index, routing, tokens, topK);
    const scheduledMs = performance.now();
    rowGroups.group(routing, scheduler.instanceOf, tokens, topK, scheduler.instanceOfPair);
    const groupedMs = performance.now();
    if (call >= 0) {
      scheduleUs[call] = (scheduledMs - startedMs) * 1000;
      groupUs[call] = (groupedMs - scheduledMs) * 1000;
      aMaxSum += scheduler.aMax;
    }
  }
  const step = (call: number): void => {
    const routing = routings[call % ROUTINGS];
    scheduler.schedule(index, routing, tokens, topK);
    rowGroups.group(routing, scheduler.instanceOf, tokens, topK, scheduler.instanceOfPair);
  };
  scheduleUs.sort();
  groupUs.sort();
  return {
    scheduler: scheduler.name,
    tokens,
    topK,
    experts,
    instances,
    p50Us: quantile(scheduleUs, 0.5),
    p99Us: quantile(scheduleUs, 0.99),
    kernelP50Us: null,
    groupP50Us: quantile(groupUs, 0.5),
    heapBytesPerCall: heapBytesPerCall(step, Math.min(calls, 2_000)),
    meanAMax: rounded(aMaxSum / calls),
  };
}

async function timeKernel(gpu: GpuDevice, limits: SchedulerLimits, calls: number): Promise<SchedulerCase> {
  const { maxTokens: tokens, topK, experts, instances } = limits;
  const kernel = await AebsKernel.create(gpu, { limits, layouts: [benchLayout()], maxSteps: 1 });
  const routings = benchRoutings(tokens);
  const elapsedUs = new Float64Array(calls);
  const kernelUs = new Float64Array(calls);
  let aMaxSum = 0;
  for (let call = -KERNEL_WARM_UP_CALLS; call < calls; call += 1) {
    const expertIds = routings[(call + KERNEL_WARM_UP_CALLS) % ROUTINGS];
    const startedMs = performance.now();
    const [schedule] = await kernel.schedule([{ layout: 0, expertIds, rows: tokens, topK }]);
    const endedMs = performance.now();
    if (call >= 0) {
      elapsedUs[call] = (endedMs - startedMs) * 1000;
      kernelUs[call] = kernel.kernelUs ?? Number.NaN;
      aMaxSum += schedule.aMax;
    }
  }
  kernel.close();
  elapsedUs.sort();
  kernelUs.sort();
  return {
    scheduler: 'aebs-webgpu',
    tokens,
    topK,
    experts,
    instances,
    p50Us: quantile(elapsedUs, 0.5),
    p99Us: quantile(elapsedUs, 0.99),
    kernelP50Us: gpu.hasTimestamps ? quantile(kernelUs, 0.5) : null,
    groupP50Us: null,
    heapBytesPerCall: null,
    meanAMax: rounded(aMaxSum / calls),
  };
}

function benchRoutings(tokens: number): Int32Array[] {
  const random = seededRandom(SEED);
  return Array.from({ length: ROUTINGS }, () => uniformRouting(tokens, TOP_K, EXPERTS, random));
}

function benchLayout(): LayoutIndex {
  const placement = staticPlacement({
    version: 1,
    model: 'bench',
    layers: 1,
    experts: EXPERTS,
    capacity: CAPACITY,
    instances: Array.from({ length: INSTANCES }, (_, id) => ({ id, host: 'bench' })),
  });
  return indexLayout(placement.layers[0], EXPERTS);
}

/** The least growth of several attempts: garbage collections and the compiler's own memory only ever disturb it. */
function heapBytesPerCall(step: (call: number) => void, calls: number): number {
  const growths: number[] = [];
  for (let attempt = 0; attempt < HEAP_ATTEMPTS; attempt += 1) {
    const before = process.memoryUsage().heapUsed;
    for (let call = 0; call < calls; call += 1) step(call);
    growths.push(process.memoryUsage().heapUsed - before);
  }
  return rounded(Math.min(...growths.filter((bytes) => bytes >= 0)) / calls);
}

function quantile(sorted: Float64Array, share: number): number {
  return rounded(sorted[Math.floor(sorted.length * share)]);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
