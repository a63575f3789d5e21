import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../../shared/model/config.ts';
import { expertTensors } from '../../../shared/model/tensors.ts';
import type { Kernels } from '../../kernels/kernels.ts';
import { loadKernels } from '../../kernels/load-kernels.ts';
import { quantizedBytes } from '../../kernels/sizes.ts';
import { storedBytes } from '../../kernels/stored-matrix.ts';
import { LARGEST_BLOCK } from '../../kernels/tile8.ts';
import type { PairsCompute } from '../expert-compute.ts';
import type { BlockMatrixFormat, MatrixFormat } from '../matrix.ts';
import { expertFormat, type ModelWeights, type WeightFormats } from '../weights.ts';
import type { KernelReach, KernelSource } from './kernel-source.ts';
import { unitsOf } from './product-kind.ts';
import { QuantizedProducts } from './quantized-products.ts';
import { Region } from './region.ts';
import { writeMatrix } from './write-matrix.ts';

/** Offsets of an expert's matrices from where it lies. */
interface ExpertLayout {
  readonly gate: number;
  readonly up: number;
  readonly down: number;
  readonly bytes: number;
}

/** The same order and alignment as in packed models, so that an expert is loaded by one read. */
function expertLayout({ hiddenSize, expertSize }: ModelConfig, format: BlockMatrixFormat): ExpertLayout {
  const region = new Region();
  const gate = region.allocate(storedBytes(expertSize, hiddenSize, format));
  const up = region.allocate(storedBytes(expertSize, hiddenSize, format));
  const down = region.allocate(storedBytes(hiddenSize, expertSize, format));
  return { gate, up, down, bytes: region.usedBytes };
}

/** Bytes of one expert of a layer in kernel memory; 0 where the kernels do not compute it. */
export function kernelExpertBytes(config: ModelConfig, format: MatrixFormat, reach: KernelReach): number {
  return isKernelFormat(format, reach) ? expertLayout(config, format).bytes : 0;
}

/** True for blocks of codes that the kernels multiply on this machine. */
export function isKernelFormat(format: MatrixFormat, reach: KernelReach): format is BlockMatrixFormat {
  if (format.form !== 'blocks') return false;
  return format.bits === 4 || reach === 'int8' || (reach === 'bytes' && format.perRow === true);
}

/** Memory of one thread that computes experts. */
interface Scratch {
  readonly input: number;
  readonly quantizedInput: number;
  readonly gates: number;
  readonly inner: number;
  readonly quantizedInner: number;
  readonly output: number;
}

/** Allocates the scratch memory of `KernelExperts` in `region`. */
export function expertScratch(
  { hiddenSize, expertSize }: ModelConfig,
  maxRows: number,
  region: Region,
): Scratch {
  return {
    input: region.allocate(4 * maxRows * hiddenSize),
    quantizedInput: region.allocate(quantizedBytes(maxRows, hiddenSize, LARGEST_BLOCK)),
    gates: region.allocate(4 * maxRows * expertSize),
    inner: region.allocate(4 * maxRows * expertSize),
    quantizedInner: region.allocate(quantizedBytes(maxRows, expertSize, LARGEST_BLOCK)),
    output: region.allocate(4 * maxRows * hiddenSize),
  };
}

/**
 * The experts of a host that lie in kernel memory as blocks. Every thread of the host has an object of its own over the same
 * memory, and can run all of them, whoever loaded them.
 */
export class KernelExperts {
  readonly #config: ModelConfig;
  readonly #formats: WeightFormats;
  readonly #source: KernelSource;
  readonly #kernels: Kernels;
  readonly #products: QuantizedProducts;
  readonly #experts: Int32Array;
  readonly #scratch: Scratch;
  readonly #input: Float32Array;
  readonly #output: Float32Array;
  /** By layer; undefined where experts are not held as blocks. */
  readonly #layouts: readonly (ExpertLayout | undefined)[];

  constructor(config: ModelConfig, formats: WeightFormats, source: KernelSource) {
    const { hiddenSize } = config;
    const { memory, module, maxRows } = source;
    this.#config = config;
    this.#formats = formats;
    this.#source = source;
    this.#kernels = loadKernels(memory, module);
    this.#products = new QuantizedProducts(this.#kernels, memory, source.products);
    this.#experts = new Int32Array(source.experts);
    this.#scratch = expertScratch(config, maxRows, new Region(source.scratch));
    this.#input = new Float32Array(memory.buffer, this.#scratch.input, maxRows * hiddenSize);
    this.#output = new Float32Array(memory.buffer, this.#scratch.output, maxRows * hiddenSize);
    this.#layouts = Array.from({ length: config.layers }, (_, layer) => {
      const format = expertFormat(formats, layer);
      return isKernelFormat(format, source.reach) ? expertLayout(config, format) : undefined;
    });
  }

  /** True where the experts of a layer are computed here, and not by ONNX Runtime. */
  computes(layer: number): boolean {
    return this.#layouts[layer] !== undefined;
  }

  /** Bytes of an expert of a layer that is computed here. */
  bytesOf(layer: number): number {
    return this.#layout(layer).bytes;
  }

  /** Reads an expert to its place. @throws JanusError if the host has no place for it or a tensor is wrong */
  load(layer: number, expert: number, weights: ModelWeights): number {
    const { gate, up, down, bytes } = this.#layout(layer);
    const at = this.#offset(layer, expert);
    const target = new Uint8Array(this.#source.memory.buffer, at, bytes);
    if (weights.readExpert !== undefined) {
      weights.readExpert(layer, expert, target);
      return bytes;
    }
    const format = expertFormat(this.#formats, layer) as BlockMatrixFormat;
    const tensors = expertTensors(this.#config, layer, expert);
    writeMatrix(weights, tensors.gate, format, target.subarray(gate, up));
    writeMatrix(weights, tensors.up, format, target.subarray(up, down));
    writeMatrix(weights, tensors.down, format, target.subarray(down));
    return bytes;
  }

  /**
   * Runs an expert on M rows.
   * @param input `[M, H]`
   * @param rows M
   * @param output `[M, H]`
   * @throws JanusError if this host does not hold the expert
   */
  run(layer: number, expert: number, input: Float32Array, rows: number, output: Float32Array): void {
    this.#input.set(input);
    this.#compute(layer, expert, rows, this.#scratch.output);
    output.set(this.#output.subarray(0, rows * this.#config.hiddenSize));
  }

  /** Runs an expert on rows that lie in this kernel memory. */
  readonly runPairs: PairsCompute = (layer, expert, hidden, pairs, first, rows, outputs) => {
    const { buffer } = this.#source.memory;
    if (hidden.buffer !== buffer || pairs.buffer !== buffer || outputs.buffer !== buffer) return false;
    const { hiddenSize, expertsPerToken } = this.#config;
    const rowBytes = 4 * hiddenSize;
    const pairsAt = pairs.byteOffset + 4 * first;
    this.#kernels.gatherPairs(
      hidden.byteOffset,
      pairsAt,
      rows,
      expertsPerToken,
      rowBytes,
      this.#scratch.input,
    );
    this.#compute(layer, expert, rows, outputs.byteOffset + first * rowBytes);
    return true;
  };

  /** From the scratch memory's input `[M, H]` to `output` `[M, H]`. */
  #compute(layer: number, expert: number, rows: number, output: number): void {
    const { hiddenSize, expertSize } = this.#config;
    const { gate, up, down } = this.#layout(layer);
    const at = this.#offset(layer, expert);
    const format = expertFormat(this.#formats, layer) as BlockMatrixFormat;
    const { blockSize } = format;
    const products = this.#products;
    const kind = products.kindOf(format, hiddenSize, expertSize, rows);
    const scratch = this.#scratch;
    products.quantize(kind, scratch.input, rows, hiddenSize, blockSize, scratch.quantizedInput);
    for (const [matrix, target] of [
      [gate, scratch.gates],
      [up, scratch.inner],
    ] as const) {
      products.linear(
        kind,
        at + matrix,
        hiddenSize,
        blockSize,
        0,
        unitsOf(kind, expertSize),
        scratch.quantizedInput,
        rows,
        target,
        expertSize,
      );
    }
    this.#kernels.gate(scratch.gates, scratch.inner, rows * expertSize);
    products.quantize(kind, scratch.inner, rows, expertSize, blockSize, scratch.quantizedInner);
    products.linear(
      kind,
      at + down,
      expertSize,
      blockSize,
      0,
      unitsOf(kind, hiddenSize),
      scratch.quantizedInner,
      rows,
      output,
      hiddenSize,
    );
  }

  #layout(layer: number): ExpertLayout {
    const layout = this.#layouts[layer];
    if (layout === undefined) throw new JanusError(`The experts of layer ${layer} are not in kernel memory.`);
    return layout;
  }

  #offset(layer: number, expert: number): number {
    const at = this.#experts[layer * this.#config.experts + expert];
    if (!at) throw new JanusError(`expert ${expert} of layer ${layer} is not loaded here`);
    return at >>> 0;
  }
}
