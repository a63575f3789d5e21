import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { Kernels } from './kernels.ts';
import { compileWide } from './wide-vectors.ts';

const KERNELS_PATH = fileURLToPath(new URL('./build/kernels.wasm', import.meta.url));

/**
 * Reads and compiles the kernels. A module can be posted to other threads, which saves them doing it again.
 * @throws JanusError if the kernels were not built, or this Node cannot run them.
 */
export function compileKernels(path: string = KERNELS_PATH): WebAssembly.Module {
  let bytes: Buffer<ArrayBuffer>;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new JanusError(`${path} is missing: run npm run setup, which builds it`, { cause: error });
  }
  try {
    return compileWide(bytes);
  } catch (error) {
    throw new JanusError(
      `${path} does not compile on Node ${process.version} (${process.arch}); Node 24 is needed`,
      { cause: error },
    );
  }
}

/**
 * The kernels on `memory`, which must be shared. Each thread loads them for itself.
 * @throws JanusError if the kernels were not built, or `memory` is not one that they can work on.
 */
export function loadKernels(memory: WebAssembly.Memory, module = compileKernels()): Kernels {
  try {
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return exports as unknown as Kernels;
  } catch (error) {
    throw new JanusError(
      'the kernels cannot work on this memory: it must be shared and have at most 65536 pages',
      { cause: error },
    );
  }
}
