import { PANEL_ROWS } from '../../kernels/panels.ts';
import { TILE_ROWS } from '../../kernels/tile8.ts';

/**
 * How a product is computed. Numbers, because tasks of threads are numbers.
 *
 * - `int4`, `int8`: by our kernels, which read tiles of codes as they lie.
 * - `wholeInt4`: tiles are spread to bytes a part at a time, which ONNX Runtime multiplies.
 * - `bytes`: by our kernels from panels of bytes; `wholeBytes`: by ONNX Runtime from the same panels, in place.
 */
export const ProductKind = { int4: 0, int8: 1, wholeInt4: 2, bytes: 3, wholeBytes: 4 } as const;
export type ProductKind = (typeof ProductKind)[keyof typeof ProductKind];

/** Outputs of the smallest part of a matrix that can be computed apart. */
export const columnsOf = (kind: number): number => (kind >= ProductKind.bytes ? PANEL_ROWS : TILE_ROWS);

/** Such parts of a matrix. */
export const unitsOf = (kind: number, outputs: number): number => Math.ceil(outputs / columnsOf(kind));
