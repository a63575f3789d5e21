import type { BlockFormat, BlockQuantized } from '../runtime/quantize.ts';
import { PANEL_ROWS, packPanels, panelBytes, unpackPanels } from './panels.ts';
import { packTile8, TILE_ROWS, tile8Bytes, unpackTile8 } from './tile8.ts';

/*
 * Quantised matrices as the kernels read them and packed models store them: in layout panels where rows have one scale each,
 * else in layout tile8.
 */

/** Rows of a matrix that lie together, and can be computed apart: a part of so many rows is stored as a matrix of its own would be. */
export const storedRowsStep = ({ perRow }: BlockFormat): number => (perRow ? PANEL_ROWS : TILE_ROWS);

/** Bytes of a matrix `[outputSize, inputSize]`. @throws JanusError if its layout does not know the block size */
export function storedBytes(outputSize: number, inputSize: number, format: BlockFormat): number {
  return format.perRow ? panelBytes(outputSize, inputSize) : tile8Bytes(outputSize, inputSize, format);
}

/** Writes a matrix. @throws JanusError if `target` is too small or the layout does not know the block size */
export function storeMatrix(quantized: BlockQuantized, target: Uint8Array): void {
  if (quantized.format.perRow) packPanels(quantized, target);
  else packTile8(quantized, target);
}

/** Reads what `storeMatrix` wrote. @throws JanusError as it does */
export function readMatrix(
  source: Uint8Array,
  outputSize: number,
  inputSize: number,
  format: BlockFormat,
): BlockQuantized {
  const read = format.perRow ? unpackPanels : unpackTile8;
  return read(source, outputSize, inputSize, format);
}
