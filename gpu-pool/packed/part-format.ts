import { elementCount } from '../../shared/model/safetensors.ts';
import { tile8Bytes } from '../kernels/tile8.ts';
import type { BlockFormat } from '../runtime/quantize.ts';

/**
 * How the numbers of a part lie in its file, little-endian: row by row as f32, f16 or bf16, or as quantised blocks in the
 * kernels' layout tile8.
 */
export type PartFormat =
  | { readonly form: 'f32' | 'f16' | 'bf16' }
  | ({ readonly form: 'blocks' } & BlockFormat);

const NUMBER_BYTES = { f32: 4, f16: 2, bf16: 2 } as const;

/** A tensor's rows and columns; a vector is one row. */
export function rowsAndColumns(shape: readonly number[]): { rows: number; columns: number } {
  const columns = shape.at(-1) ?? 1;
  return { rows: elementCount(shape) / columns, columns };
}

/** Bytes of `rows` rows of a tensor. Of blocks, only the last rows of a tensor may be fewer than a multiple of 8. */
export function rowBytes(rows: number, columns: number, format: PartFormat): number {
  if (format.form === 'blocks') return tile8Bytes(rows, columns, format);
  return rows * columns * NUMBER_BYTES[format.form];
}

/** Bytes of a whole tensor. */
export function partBytes(shape: readonly number[], format: PartFormat): number {
  const { rows, columns } = rowsAndColumns(shape);
  return rowBytes(rows, columns, format);
}
