import { JanusError } from '../../shared/errors/janus-error.ts';

/** A GPU of this machine, opened for computing. */
export interface GpuDevice {
  readonly device: GPUDevice;
  /** Name and driver, as WebGPU tells them. */
  readonly description: string;
  /** Whether the time of a dispatch can be measured on the GPU. */
  readonly hasTimestamps: boolean;
  close(): void;
}

/** Dawn rounds times to 0.1 ms to protect web pages from each other; there are none here, and kernels are faster. */
const DAWN_OPTIONS = ['disable-dawn-features=timestamp_quantization'];

/**
 * Opens the GPU that WebGPU prefers, which may be a software one. The npm package `webgpu` is loaded here and nowhere else,
 * because it is optional and large.
 *
 * @throws JanusError when the package, a driver or an adapter is missing.
 */
export async function openGpuDevice(): Promise<GpuDevice> {
  const { create, globals } = await loadWebGpu();
  // Usage flags and the like are globals in WebGPU, and the package leaves it to us to make them so.
  Object.assign(globalThis, globals);
  // The device works only as long as this object is held.
  let gpu: GPU | undefined = create(DAWN_OPTIONS);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) {
    throw new JanusError(
      'WebGPU finds no adapter; install a GPU driver, or Mesa 25 or later for a software one',
    );
  }
  const hasTimestamps = adapter.features.has('timestamp-query');
  const device = await adapter.requestDevice({
    requiredFeatures: hasTimestamps ? ['timestamp-query'] : [],
    requiredLimits: { maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize },
  });
  const { vendor, description } = adapter.info;
  return {
    device,
    description: `${vendor} ${description}`,
    hasTimestamps,
    close: () => {
      device.destroy();
      gpu = undefined;
    },
  };
}

async function loadWebGpu(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (error) {
    throw new JanusError(
      `the npm package webgpu cannot be loaded (${(error as Error).message}); install it, with its optional dependencies`,
    );
  }
}
