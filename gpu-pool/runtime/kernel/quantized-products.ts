import type { Kernels } from '../../kernels/kernels.ts';
import { PANEL_ROWS, panelBytes } from '../../kernels/panels.ts';
import { TILE_ROWS } from '../../kernels/tile8.ts';
import { widensVectors } from '../../kernels/wide-vectors.ts';
import { ByteProduct } from '../byte-product.ts';
import type { BlockFormat } from '../quantize.ts';
import { columnsOf, ProductKind } from './product-kind.ts';
import { MOST_COLUMNS, type ProductScratch, SPREAD_BYTES, SPREAD_COLUMNS_STEP } from './product-scratch.ts';

/** Rows from which on products by ONNX Runtime are faster: than ours with vectors of 256 bits, or with those of 128. */
const FEWEST_WHOLE_ROWS = widensVectors()
  ? { int4: Number.POSITIVE_INFINITY, bytes: 7 }
  : { int4: 20, bytes: 3 };
/** Products of a row's number and a weight, in one panel, from which on it pays to call ONNX Runtime for them: a call takes some 10 µs. */
const FEWEST_WHOLE_PRODUCTS = 700_000;
/** Rows from which on it is faster to spread 4-bit codes first, which with vectors of 128 bits it never is. */
const FEWEST_WOVEN_ROWS = widensVectors() ? 16 : Number.POSITIVE_INFINITY;

/**
 * Products of quantised matrices and quantised rows on one thread: few rows by our kernels, many by others of ours or by ONNX Runtime.
 * All sum the same integers and scale them alike, so which it was does not show in the result.
 */
export class QuantizedProducts {
  readonly #kernels: Kernels;
  readonly #memory: WebAssembly.Memory;
  readonly #scratch: ProductScratch | null;
  #product: ByteProduct | undefined;

  /** @param scratch null where no matrix is multiplied as bytes */
  constructor(kernels: Kernels, memory: WebAssembly.Memory, scratch: ProductScratch | null) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#scratch = scratch;
  }

  /** The kind that is fastest for a matrix `[outputs, inputSize]` and so many rows; the same on all threads of a machine. */
  kindOf({ bits, perRow }: BlockFormat, inputSize: number, outputs: number, rows: number): ProductKind {
    const whole = this.#scratch?.whole === true;
    if (perRow) {
      const pays = rows * inputSize * Math.min(outputs, PANEL_ROWS) >= FEWEST_WHOLE_PRODUCTS;
      return whole && pays && rows >= FEWEST_WHOLE_ROWS.bytes ? ProductKind.wholeBytes : ProductKind.bytes;
    }
    if (bits === 8) return ProductKind.int8;
    if (whole && rows >= FEWEST_WHOLE_ROWS.int4) return ProductKind.wholeInt4;
    return this.#scratch !== null && rows >= FEWEST_WOVEN_ROWS ? ProductKind.wovenInt4 : ProductKind.int4;
  }

  /**
   * Rounds rows as `linear` wants them for products of the same kind. Fills at most `quantizedBytes(…)`.
   *
   * @param inputSize K, a multiple of 4
   */
  quantize(
    kind: number,
    source: number,
    rows: number,
    inputSize: number,
    blockSize: number,
    target: number,
  ): void {
    const kernels = this.#kernels;
    if (kind === ProductKind.bytes) kernels.quantizeWords(source, inputSize, rows, inputSize, target);
    else if (kind === ProductKind.wholeBytes)
      kernels.quantizePlain(source, inputSize, rows, inputSize, inputSize, target);
    else if (kind === ProductKind.wholeInt4)
      kernels.quantizePlain(source, inputSize, rows, inputSize, blockSize, target);
    else if (kind === ProductKind.wovenInt4)
      kernels.quantizeWoven(source, inputSize, rows, inputSize, blockSize, target);
    else kernels.quantizeRows(source, inputSize, rows, inputSize, blockSize, target);
  }

  /**
   * `output[m, n] = Σ_k weights[n, k] · activations[m, k]` for the outputs n of units `[begin, end)` of the kind.
   *
   * @param kind from `kindOf`
   * @param outputs N, a multiple of 8: of the whole matrix, and floats from one row of the output to the next
   */
  linear(
    kind: number,
    weights: number,
    inputSize: number,
    blockSize: number,
    begin: number,
    end: number,
    activations: number,
    rows: number,
    output: number,
    outputs: number,
  ): void {
    if (kind >= ProductKind.bytes) {
      this.#panels(kind, weights, inputSize, begin, end, activations, rows, output, outputs);
    } else if (kind === ProductKind.wholeInt4) {
      this.#spread(weights, inputSize, blockSize, begin, end, activations, rows, output, outputs);
    } else if (kind === ProductKind.wovenInt4) {
      const tiles = columnsOf(kind) / TILE_ROWS;
      this.#kernels.linearWoven(
        weights,
        inputSize,
        blockSize,
        begin * tiles,
        Math.min(end * tiles, outputs / TILE_ROWS),
        activations,
        rows,
        output,
        outputs,
        this.#scratch!.panel,
      );
    } else {
      this.#kernels.linear(
        kind === ProductKind.int4 ? 4 : 8,
        weights,
        inputSize,
        blockSize,
        begin,
        end,
        activations,
        rows,
        output,
        outputs,
      );
    }
  }

  /** Sums of all columns of `weights` `[inner, columns]`, by ONNX Runtime. */
  #multiply(activations: number, rows: number, weights: number, inner: number, columns: number): void {
    const { buffer } = this.#memory;
    // Whether they are exact was found out when the scratch memory was laid out.
    this.#product ??= ByteProduct.open()!;
    // Arguments of tasks are signed; an offset of 2 GiB and more comes as a negative number.
    const left = new Uint8Array(buffer, activations >>> 0, rows * inner);
    const right = new Int8Array(buffer, weights >>> 0, inner * columns);
    const sums = new Int32Array(buffer, this.#scratch!.sums, rows * columns);
    this.#product.run(left, rows, right, columns, sums);
  }

  #panels(
    kind: number,
    weights: number,
    inputSize: number,
    begin: number,
    end: number,
    activations: number,
    rows: number,
    output: number,
    outputs: number,
  ): void {
    const kernels = this.#kernels;
    const { sums } = this.#scratch!;
    const codeBytes = kind === ProductKind.bytes ? 2 : 1;
    // Behind the codes, at the next multiple of 16.
    const xScales = ((activations >>> 0) + rows * inputSize * codeBytes + 15) & ~15;
    for (let panel = begin; panel < end; panel++) {
      const first = panel * PANEL_ROWS;
      const columns = Math.min(PANEL_ROWS, outputs - first);
      const at = weights + panelBytes(first, inputSize);
      const bytes = panelBytes(columns, inputSize);
      const width = bytes / (inputSize + 4);
      if (kind === ProductKind.bytes) kernels.sumPanel(activations, rows, at, inputSize, width, sums);
      else this.#multiply(activations, rows, at, inputSize, width);
      const rowScales = at + inputSize * width;
      kernels.scalePanel(sums, width, rowScales, xScales, rows, columns, output + 4 * first, outputs);
    }
  }

  #spread(
    weights: number,
    inputSize: number,
    blockSize: number,
    begin: number,
    end: number,
    activations: number,
    rows: number,
    output: number,
    outputs: number,
  ): void {
    const kernels = this.#kernels;
    const scratch = this.#scratch!;
    const padded = Math.ceil(inputSize / blockSize) * blockSize;
    const fitting = Math.floor(SPREAD_BYTES / padded / SPREAD_COLUMNS_STEP) * SPREAD_COLUMNS_STEP;
    const mostTiles = Math.min(Math.max(fitting, SPREAD_COLUMNS_STEP), MOST_COLUMNS) / TILE_ROWS;
    for (let first = begin; first < end; first += mostTiles) {
      const last = Math.min(first + mostTiles, end);
      const columns = (last - first) * TILE_ROWS;
      kernels.spread(weights, inputSize, blockSize, first, last, scratch.weights, columns);
      this.#multiply(activations, rows, scratch.weights, padded, columns);
      kernels.scaleSums(
        scratch.sums,
        columns,
        weights,
        inputSize,
        blockSize,
        first,
        last,
        activations,
        rows,
        output,
        outputs,
      );
    }
  }
}
