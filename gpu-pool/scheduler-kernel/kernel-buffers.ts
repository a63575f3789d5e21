import type { SchedulerLimits } from '../../shared/scheduler/limits.ts';
import { RESULT_HEAD_WORDS, STEP_WORDS } from './aebs-shader.ts';
import type { GpuDevice } from './gpu-device.ts';
import { GpuTimer } from './gpu-timer.ts';

export const WORD_BYTES = 4;

/** GPU memory of a kernel, by the names of the shader. */
export interface KernelBuffers {
  readonly steps: GPUBuffer;
  readonly layouts: GPUBuffer;
  readonly ids: GPUBuffer;
  readonly results: GPUBuffer;
  readonly pairs: GPUBuffer;
  /** Results and pairs, for the CPU to read. */
  readonly readBack: GPUBuffer;
  readonly timer: GpuTimer | undefined;
}

/**
 * Allocates the memory of a kernel and fills in the layouts.
 *
 * @param layoutWords Packed layouts.
 * @param maxSteps Most layer steps in one call.
 */
export function createBuffers(
  { device, hasTimestamps }: GpuDevice,
  limits: SchedulerLimits,
  layoutWords: Int32Array<ArrayBuffer>,
  maxSteps: number,
): KernelBuffers {
  const { STORAGE, COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
  const buffer = (words: number, usage: number): GPUBuffer =>
    device.createBuffer({ size: words * WORD_BYTES, usage });
  const pairs = maxSteps * limits.maxTokens * limits.topK;
  const results = maxSteps * resultWords(limits);
  const layouts = buffer(layoutWords.length, STORAGE | COPY_DST);
  device.queue.writeBuffer(layouts, 0, layoutWords);
  return {
    steps: buffer(maxSteps * STEP_WORDS, STORAGE | COPY_DST),
    layouts,
    ids: buffer(pairs, STORAGE | COPY_DST),
    results: buffer(results, STORAGE | COPY_SRC),
    pairs: buffer(pairs, STORAGE | COPY_SRC),
    readBack: buffer(results + pairs, COPY_DST | MAP_READ),
    timer: hasTimestamps ? new GpuTimer(device) : undefined,
  };
}

/** Words of one step's result. */
export function resultWords({ instances, experts }: SchedulerLimits): number {
  return RESULT_HEAD_WORDS + instances + experts;
}
