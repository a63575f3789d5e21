import { PANEL_ROWS } from '../../kernels/panels.ts';
import { TILE_ROWS } from '../../kernels/tile8.ts';

/**
 * How a product is computed. Numbers, because tasks of threads are numbers.
 *
 * - `int4`, `int8`: by our kernels, which read tiles of codes as they lie.
 * - `wovenInt4`: by our kernels, which spread two tiles at a time to bytes.
 * - `wholeInt4`: tiles are spread to bytes a part at a time, which ONNX Runtime multiplies.
 * - `bytes`: by our kernels from panels of bytes; `wholeBytes`: by ONNX Runtime from the same panels, in place.
 */
export const ProductKind = { int4: 0, int8: 1, wovenInt4: 2, wholeInt4: 3, bytes: 4, wholeBytes: 5 } as const;
export type ProductKind = (typeof ProductKind)[keyof typeof ProductKind];

/** Outputs of the smallest part of a matrix that can be computed apart. */
export function columnsOf(kind: number): number {
  if (kind >= ProductKind.bytes) return PANEL_ROWS;
  return kind === ProductKind.wovenInt4 ? 2 * TILE_ROWS : TILE_ROWS;
}

/** Such parts of a matrix. */
export const unitsOf = (kind: number, outputs: number): number => Math.ceil(outputs / columnsOf(kind));
