import { elementCount } from '../../shared/model/safetensors.ts';
import { storedBytes, storedRowsStep } from '../kernels/stored-matrix.ts';
import type { BlockFormat } from '../runtime/quantize.ts';

/**
 * How the numbers of a part lie in its file, little-endian: row by row as f32, f16 or bf16, or quantised as the kernels read them.
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

/** Parts of a tensor but the last must have a multiple of so many rows, so that they lie one after the other. */
export const rowsStep = (format: PartFormat): number =>
  format.form === 'blocks' ? storedRowsStep(format) : 1;

/** Bytes of `rows` rows of a tensor, which are a multiple of `rowsStep` unless they are its last. */
export function rowBytes(rows: number, columns: number, format: PartFormat): number {
  if (format.form === 'blocks') return storedBytes(rows, columns, format);
  return rows * columns * NUMBER_BYTES[format.form];
}

/** Bytes of a whole tensor. */
export function partBytes(shape: readonly number[], format: PartFormat): number {
  const { rows, columns } = rowsAndColumns(shape);
  return rowBytes(rows, columns, format);
}
