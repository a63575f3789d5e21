import type { Kernels } from '../../kernels/kernels.ts';
import { ByteProduct } from '../byte-product.ts';

/** Rows from which on ONNX Runtime's product of whole matrices, for which weights are spread to bytes, is faster. */
const FEWEST_WHOLE_ROWS = 20;
/** Bytes of the weights that are spread at once: with them about half of a second-level cache is full. */
const SPREAD_BYTES = 524_288;
const TILE_COLUMNS = 8;
/** A cache line of columns. */
const COLUMN_STEP = 64;
const MOST_COLUMNS = 1_024;

/** Memory of one thread. */
export interface ProductScratch {
  readonly weights: number;
  readonly sums: number;
}

/** The largest block that inputs are padded to. */
const LARGEST_BLOCK = 128;

/** @param inputSize of the widest matrix */
export function allocateProducts(
  memory: { allocate(bytes: number): number },
  inputSize: number,
  maxRows: number,
): ProductScratch {
  const widest = Math.ceil(inputSize / LARGEST_BLOCK) * LARGEST_BLOCK;
  return {
    weights: memory.allocate(Math.max(SPREAD_BYTES, widest * COLUMN_STEP)),
    sums: memory.allocate(4 * maxRows * MOST_COLUMNS),
  };
}

/** True where ONNX Runtime multiplies bytes exactly on this machine, so that it may take part. */
export function productsAreExact(): boolean {
  const product = ByteProduct.open();
  product?.release();
  return product !== null;
}

/**
 * Products of quantised matrices and quantised rows on one thread: a few rows by our kernels, many by ONNX Runtime. Both sum
 * the same integers and scale them alike, so which it was does not show in the result.
 */
export class QuantizedProducts {
  readonly #kernels: Kernels;
  readonly #buffer: ArrayBufferLike;
  readonly #scratch: ProductScratch | null;
  #bytes: ByteProduct | undefined;

  /** @param scratch null where ONNX Runtime's products are not exact */
  constructor(kernels: Kernels, memory: WebAssembly.Memory, scratch: ProductScratch | null) {
    this.#kernels = kernels;
    this.#buffer = memory.buffer;
    this.#scratch = scratch;
  }

  #isWhole(bits: number, rows: number): boolean {
    return this.#scratch !== null && bits === 4 && rows >= FEWEST_WHOLE_ROWS;
  }

  /** Rounds rows as `linear` and `gateUp` want them for as many. Fills at most `quantizedBytes(…)`. */
  quantize(
    bits: number,
    source: number,
    rows: number,
    inputSize: number,
    blockSize: number,
    target: number,
  ): void {
    const kernels = this.#kernels;
    if (this.#isWhole(bits, rows))
      kernels.quantizePlain(source, inputSize, rows, inputSize, blockSize, target);
    else kernels.quantizeRows(source, inputSize, rows, inputSize, blockSize, target);
  }

  /** As the kernel `linear`. */
  linear(
    bits: number,
    weights: number,
    inputSize: number,
    blockSize: number,
    tileBegin: number,
    tileEnd: number,
    activations: number,
    rows: number,
    output: number,
    outputStride: number,
  ): void {
    if (this.#isWhole(bits, rows)) {
      this.#whole(
        weights,
        inputSize,
        blockSize,
        tileBegin,
        tileEnd,
        activations,
        rows,
        output,
        outputStride,
        0,
      );
      return;
    }
    this.#kernels.linear(
      bits,
      weights,
      inputSize,
      blockSize,
      tileBegin,
      tileEnd,
      activations,
      rows,
      output,
      outputStride,
    );
  }

  /** As the kernel `gateUp`, for all tiles of both matrices. */
  gateUp(
    bits: number,
    gate: number,
    up: number,
    inputSize: number,
    blockSize: number,
    tiles: number,
    activations: number,
    rows: number,
    output: number,
  ): void {
    const stride = tiles * TILE_COLUMNS;
    if (this.#isWhole(bits, rows)) {
      this.#whole(up, inputSize, blockSize, 0, tiles, activations, rows, output, stride, 0);
      this.#whole(gate, inputSize, blockSize, 0, tiles, activations, rows, output, stride, 1);
      return;
    }
    this.#kernels.gateUp(bits, gate, up, inputSize, blockSize, 0, tiles, activations, rows, output, stride);
  }

  #whole(
    weights: number,
    inputSize: number,
    blockSize: number,
    tileBegin: number,
    tileEnd: number,
    activations: number,
    rows: number,
    output: number,
    outputStride: number,
    gated: 0 | 1,
  ): void {
    const kernels = this.#kernels;
    const scratch = this.#scratch!;
    // Whether they are exact was found out when the scratch memory was laid out.
    this.#bytes ??= ByteProduct.open()!;
    const padded = Math.ceil(inputSize / blockSize) * blockSize;
    const left = new Uint8Array(this.#buffer, activations, rows * padded);
    const fitting = Math.floor(SPREAD_BYTES / padded / COLUMN_STEP) * COLUMN_STEP;
    const mostTiles = Math.min(Math.max(fitting, COLUMN_STEP), MOST_COLUMNS) / TILE_COLUMNS;
    for (let begin = tileBegin; begin < tileEnd; begin += mostTiles) {
      const end = Math.min(begin + mostTiles, tileEnd);
      const columns = (end - begin) * TILE_COLUMNS;
      kernels.spread(weights, inputSize, blockSize, begin, end, scratch.weights, columns);
      const right = new Int8Array(this.#buffer, scratch.weights, padded * columns);
      this.#bytes.run(left, rows, right, columns, new Int32Array(this.#buffer, scratch.sums, rows * columns));
      kernels.scaleSums(
        scratch.sums,
        columns,
        4,
        weights,
        inputSize,
        blockSize,
        begin,
        end,
        activations,
        rows,
        output,
        outputStride,
        gated,
      );
    }
  }
}
