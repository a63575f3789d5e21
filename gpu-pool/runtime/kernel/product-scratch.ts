import { PANEL_ROWS } from '../../kernels/panels.ts';
import { wovenBytes } from '../../kernels/sizes.ts';
import { LARGEST_BLOCK } from '../../kernels/tile8.ts';
import { ByteProduct } from '../byte-product.ts';
import type { BlockFormat } from '../quantize.ts';

/** Bytes of the weights that are spread at once: with them about half of a second-level cache is full. */
export const SPREAD_BYTES = 524_288;
/** A cache line of columns. */
export const SPREAD_COLUMNS_STEP = 64;
/** Columns that are multiplied as a whole at once. */
export const MOST_COLUMNS = 2 * PANEL_ROWS;

/** Memory of one thread for products as bytes. */
export interface ProductScratch {
  /** True where ONNX Runtime takes part. */
  readonly whole: boolean;
  readonly weights: number;
  /** For `linearWoven`. */
  readonly panel: number;
  readonly sums: number;
}

/**
 * @param inputSize of the widest matrix
 * @param whole whether ONNX Runtime is to take part, for which its products must be exact
 */
export function allocateProducts(
  memory: { allocate(bytes: number): number },
  inputSize: number,
  maxRows: number,
  whole: boolean,
): ProductScratch {
  const widest = Math.ceil(inputSize / LARGEST_BLOCK) * LARGEST_BLOCK;
  return {
    whole,
    weights: whole ? memory.allocate(Math.max(SPREAD_BYTES, widest * SPREAD_COLUMNS_STEP)) : 0,
    panel: memory.allocate(wovenBytes(widest, LARGEST_BLOCK)),
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

/** True for matrices that are, or can be spread to, bytes in units of their rows' scales, and need the scratch memory. */
export const isMultipliedAsBytes = ({ bits, perRow }: BlockFormat): boolean => bits === 4 || perRow === true;
