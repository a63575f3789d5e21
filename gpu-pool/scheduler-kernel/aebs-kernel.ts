import { JanusError } from '../../shared/errors/janus-error.ts';
import { AebsScheduler } from '../../shared/scheduler/aebs.ts';
import type { LayoutIndex } from '../../shared/scheduler/layout-index.ts';
import { checkLimits, checkRouting, type SchedulerLimits } from '../../shared/scheduler/limits.ts';
import { AEBS_SHADER, Fault, RESULT_HEAD_WORDS, STEP_WORDS, WORKGROUP_SCALARS } from './aebs-shader.ts';
import type { GpuDevice } from './gpu-device.ts';
import { createBuffers, type KernelBuffers, resultWords, WORD_BYTES } from './kernel-buffers.ts';
import { packLayouts } from './packed-layouts.ts';

export interface AebsKernelOptions {
  readonly limits: SchedulerLimits;
  /** Layouts, for example one per layer. They stay on the GPU. */
  readonly layouts: readonly LayoutIndex[];
  /** Most layer steps in one call. */
  readonly maxSteps: number;
}

/** The routing of one layer step. */
export interface KernelStep {
  /** Position in the kernel's `layouts`. */
  readonly layout: number;
  /** [rows, topK], row-major. */
  readonly expertIds: Int32Array;
  readonly rows: number;
  readonly topK: number;
}

/** What the kernel found for one layer step: the outputs of `AebsScheduler`, and the instance of each pair. */
export interface KernelSchedule {
  /** [E of the limits] */
  readonly instanceOf: Int32Array;
  /** [rows · topK] */
  readonly instanceOfPair: Int32Array;
  /** [n_e of the limits] */
  readonly load: Int32Array;
  readonly activated: number;
  readonly aMax: number;
}

/**
 * AEBS on a GPU, bit-identical to `AebsScheduler`. One call schedules many steps, each in a workgroup of its own.
 *
 * With the routing in ordinary memory, upload, dispatch and read-back cost far more than the kernel. It pays where the gate
 * leaves the routing on the GPU and the experts run there.
 */
export class AebsKernel {
  readonly #options: AebsKernelOptions;
  readonly #gpu: GpuDevice;
  readonly #pipeline: GPUComputePipeline;
  readonly #bindGroup: GPUBindGroup;
  readonly #buffers: KernelBuffers;
  readonly #layoutStarts: readonly number[];
  readonly #steps: Uint32Array<ArrayBuffer>;
  readonly #ids: Int32Array<ArrayBuffer>;
  #kernelUs: number | undefined;

  private constructor(gpu: GpuDevice, options: AebsKernelOptions, pipeline: GPUComputePipeline) {
    const { limits, maxSteps } = options;
    const packed = packLayouts(options.layouts);
    this.#options = options;
    this.#gpu = gpu;
    this.#pipeline = pipeline;
    this.#layoutStarts = packed.starts;
    this.#steps = new Uint32Array(maxSteps * STEP_WORDS);
    this.#ids = new Int32Array(maxSteps * limits.maxTokens * limits.topK);
    this.#buffers = createBuffers(gpu, limits, packed.words, maxSteps);
    const { steps, layouts, ids, results, pairs } = this.#buffers;
    this.#bindGroup = gpu.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [steps, layouts, ids, results, pairs].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    });
  }

  /**
   * Compiles the kernel and puts the layouts on the GPU.
   *
   * @throws JanusError when a limit is not a positive integer or too large for the kernel, or a layout exceeds the limits.
   */
  static async create(gpu: GpuDevice, options: AebsKernelOptions): Promise<AebsKernel> {
    checkOptions(options, gpu.device.limits.maxComputeWorkgroupStorageSize);
    const { experts, instances } = options.limits;
    const pipeline = await gpu.device.createComputePipelineAsync({
      layout: 'auto',
      compute: {
        module: gpu.device.createShaderModule({ code: AEBS_SHADER }),
        constants: { EXPERTS: experts, INSTANCES: instances },
      },
    });
    return new AebsKernel(gpu, options, pipeline);
  }

  /** Time of the last call's dispatch on the GPU alone, in µs, where the GPU can measure it. */
  get kernelUs(): number | undefined {
    return this.#kernelUs;
  }

  /**
   * Schedules layer steps. Calls must not overlap.
   *
   * @throws JanusError as `AebsScheduler` does, for the first step that it would refuse.
   */
  async schedule(steps: readonly KernelStep[]): Promise<KernelSchedule[]> {
    if (steps.length === 0) return [];
    const pairs = this.#upload(steps);
    const { limits } = this.#options;
    const bytes = (steps.length * resultWords(limits) + pairs) * WORD_BYTES;
    const { device } = this.#gpu;
    const { readBack, timer } = this.#buffers;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(timer?.passDescriptor);
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#bindGroup);
    pass.dispatchWorkgroups(steps.length);
    pass.end();
    const resultBytes = bytes - pairs * WORD_BYTES;
    encoder.copyBufferToBuffer(this.#buffers.results, 0, readBack, 0, resultBytes);
    encoder.copyBufferToBuffer(this.#buffers.pairs, 0, readBack, resultBytes, pairs * WORD_BYTES);
    timer?.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    const mapped = readBack.mapAsync(GPUMapMode.READ, 0, bytes);
    const [kernelUs] = await Promise.all([timer?.readUs(), mapped]);
    const copy = readBack.getMappedRange(0, bytes).slice(0);
    readBack.unmap();
    this.#kernelUs = kernelUs;
    return this.#unpack(steps, copy);
  }

  close(): void {
    for (const buffer of Object.values(this.#buffers)) buffer?.destroy();
  }

  /** Writes records and ids of the steps; returns the number of pairs of all. */
  #upload(steps: readonly KernelStep[]): number {
    const { limits, maxSteps } = this.#options;
    if (steps.length > maxSteps) {
      throw new JanusError(`${steps.length} steps in one call; this kernel was made for ${maxSteps}`);
    }
    let firstPair = 0;
    for (const [step, { layout, expertIds, rows, topK }] of steps.entries()) {
      checkRouting(limits, expertIds, rows, topK);
      const start = this.#layoutStarts[layout];
      if (start === undefined) {
        throw new JanusError(
          `step ${step} names layout ${layout}; this kernel has ${this.#layoutStarts.length}`,
        );
      }
      this.#steps.set([start, firstPair, rows * topK], step * STEP_WORDS);
      this.#ids.set(expertIds.subarray(0, rows * topK), firstPair);
      firstPair += rows * topK;
    }
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.#buffers.steps, 0, this.#steps, 0, steps.length * STEP_WORDS);
    queue.writeBuffer(this.#buffers.ids, 0, this.#ids, 0, firstPair);
    return firstPair;
  }

  #unpack(steps: readonly KernelStep[], copy: ArrayBuffer): KernelSchedule[] {
    const { limits } = this.#options;
    const { experts, instances } = limits;
    const stride = resultWords(limits);
    let firstPair = steps.length * stride;
    return steps.map((step, number) => {
      const words = new Int32Array(copy, number * stride * WORD_BYTES, stride);
      if (words[0] !== Fault.none) this.#throwFault(step);
      const load = words.subarray(RESULT_HEAD_WORDS, RESULT_HEAD_WORDS + instances);
      const instanceOf = words.subarray(
        RESULT_HEAD_WORDS + instances,
        RESULT_HEAD_WORDS + instances + experts,
      );
      const instanceOfPair = new Int32Array(copy, firstPair * WORD_BYTES, step.rows * step.topK);
      firstPair += step.rows * step.topK;
      return { instanceOf, instanceOfPair, load, activated: words[1], aMax: words[2] };
    });
  }

  /** A shader cannot throw, so the scheduler that can finds the same fault again and names it. */
  #throwFault({ layout, expertIds, rows, topK }: KernelStep): never {
    const { limits, layouts } = this.#options;
    new AebsScheduler(limits).schedule(layouts[layout], expertIds, rows, topK);
    throw new JanusError(
      'the GPU kernel refused a step that AebsScheduler takes; report this as a bug of the kernel',
    );
  }
}

function checkOptions({ limits, layouts, maxSteps }: AebsKernelOptions, workgroupBytes: number): void {
  checkLimits(limits);
  const neededBytes = (limits.experts + limits.instances + WORKGROUP_SCALARS) * WORD_BYTES;
  if (neededBytes > workgroupBytes) {
    throw new JanusError(
      `the AEBS kernel needs ${neededBytes} bytes of workgroup memory for ${limits.experts} experts on ` +
        `${limits.instances} instances; this GPU has ${workgroupBytes}: schedule on the CPU`,
    );
  }
  if (!Number.isInteger(maxSteps) || maxSteps < 1) {
    throw new JanusError(`maxSteps is ${maxSteps}; give a positive integer`);
  }
  const tooLarge = layouts.findIndex(
    ({ experts, instances }) => experts > limits.experts || instances > limits.instances,
  );
  if (tooLarge >= 0 || layouts.length === 0) {
    throw new JanusError(
      tooLarge < 0
        ? 'layouts is empty; the AEBS kernel needs at least one'
        : `layout ${tooLarge} exceeds the limits of ${limits.experts} experts on ${limits.instances} instances`,
    );
  }
}
