import type { Kernels } from '../../kernels/kernels.ts';
import { LARGEST_BLOCK, TILE_ROWS } from '../../kernels/tile8.ts';
import { ByteProduct } from '../byte-product.ts';
import type { BlockFormat } from '../quantize.ts';

/**
 * How a product is computed: by our kernels, which read codes as they lie, or as a whole by ONNX Runtime, for which they are spread
 * to signed bytes. Numbers, because tasks of threads are numbers.
 */
export const ProductKind = { int4: 0, int8: 1, wholeInt4: 2, wholeInt8: 3 } as const;
export type ProductKind = (typeof ProductKind)[keyof typeof ProductKind];

/** Rows from which on the product of whole matrices is faster. */
const FEWEST_WHOLE_ROWS = { 4: 20, 8: 4 } as const;

const bitsOf = (kind: number): 4 | 8 => (kind & 1 ? 8 : 4);
const isWhole = (kind: number): boolean => kind >= ProductKind.wholeInt4;
/** Bytes of the weights that are spread at once: with them about half of a second-level cache is full. */
const SPREAD_BYTES = 524_288;
/** A cache line of columns. */
const COLUMN_STEP = 64;
const MOST_COLUMNS = 1_024;

/** Memory of one thread. */
export interface ProductScratch {
  readonly weights: number;
  readonly sums: number;
}

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

let exact: boolean | undefined;

/** True where ONNX Runtime multiplies bytes exactly on this machine, so that it may take part; found out once. */
export function productsAreExact(): boolean {
  if (exact === undefined) {
    const product = ByteProduct.open();
    product?.release();
    exact = product !== null;
  }
  return exact;
}

/** True for matrices that can be spread to bytes. */
export const isSpreadable = ({ bits, perRow }: BlockFormat): boolean => bits === 4 || perRow === true;

/**
 * Products of quantised matrices and quantised rows on one thread: a few rows by our kernels, many by ONNX Runtime. Both sum
 * the same integers and scale them alike, so which it was does not show in the result.
 */
export class QuantizedProducts {
  readonly #kernels: Kernels;
  readonly #memory: WebAssembly.Memory;
  readonly #scratch: ProductScratch | null;
  #bytes: ByteProduct | undefined;

  /** @param scratch null where ONNX Runtime's products are not exact */
  constructor(kernels: Kernels, memory: WebAssembly.Memory, scratch: ProductScratch | null) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#scratch = scratch;
  }

  /** The kind that is fastest for a matrix and so many rows; the same on all threads of a machine. */
  kindOf(format: BlockFormat, rows: number): ProductKind {
    const { bits } = format;
    const whole = this.#scratch !== null && isSpreadable(format) && rows >= FEWEST_WHOLE_ROWS[bits];
    if (bits === 4) return whole ? ProductKind.wholeInt4 : ProductKind.int4;
    return whole ? ProductKind.wholeInt8 : ProductKind.int8;
  }

  /** Rounds rows as `linear` and `gateUp` want them for products of the same kind. Fills at most `quantizedBytes(…)`. */
  quantize(
    kind: number,
    source: number,
    rows: number,
    inputSize: number,
    blockSize: number,
    target: number,
  ): void {
    const kernels = this.#kernels;
    if (isWhole(kind)) kernels.quantizePlain(source, inputSize, rows, inputSize, blockSize, target);
    else kernels.quantizeRows(source, inputSize, rows, inputSize, blockSize, target);
  }

  /** As the kernel `linear`. @param kind from `kindOf` */
  linear(
    kind: number,
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
    if (isWhole(kind)) {
      this.#whole(
        bitsOf(kind),
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
      bitsOf(kind),
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
    kind: number,
    gate: number,
    up: number,
    inputSize: number,
    blockSize: number,
    tiles: number,
    activations: number,
    rows: number,
    output: number,
  ): void {
    const stride = tiles * TILE_ROWS;
    const bits = bitsOf(kind);
    if (isWhole(kind)) {
      this.#whole(bits, up, inputSize, blockSize, 0, tiles, activations, rows, output, stride, 0);
      this.#whole(bits, gate, inputSize, blockSize, 0, tiles, activations, rows, output, stride, 1);
      return;
    }
    this.#kernels.gateUp(bits, gate, up, inputSize, blockSize, 0, tiles, activations, rows, output, stride);
  }

  #whole(
    bits: 4 | 8,
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
    const { buffer } = this.#memory;
    // Whether they are exact was found out when the scratch memory was laid out.
    this.#bytes ??= ByteProduct.open()!;
    const padded = Math.ceil(inputSize / blockSize) * blockSize;
    // Arguments of tasks are signed; an offset of 2 GiB and more comes as a negative number.
    const left = new Uint8Array(buffer, activations >>> 0, rows * padded);
    const fitting = Math.floor(SPREAD_BYTES / padded / COLUMN_STEP) * COLUMN_STEP;
    const mostTiles = Math.min(Math.max(fitting, COLUMN_STEP), MOST_COLUMNS) / TILE_ROWS;
    for (let begin = tileBegin; begin < tileEnd; begin += mostTiles) {
      const end = Math.min(begin + mostTiles, tileEnd);
      const columns = (end - begin) * TILE_ROWS;
      kernels.spread(bits, weights, inputSize, blockSize, begin, end, scratch.weights, columns);
      const right = new Int8Array(buffer, scratch.weights, padded * columns);
      this.#bytes.run(left, rows, right, columns, new Int32Array(buffer, scratch.sums, rows * columns));
      kernels.scaleSums(
        scratch.sums,
        columns,
        bits,
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
