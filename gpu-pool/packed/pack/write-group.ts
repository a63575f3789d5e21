import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { encodeRows } from '../part-codec.ts';
import { rowBytes, rowsAndColumns, rowsStep } from '../part-format.ts';
import type { GroupPlan, PackedPart } from '../plan.ts';
import type { RowReader } from './row-reader.ts';

/** Rows are encoded together up to so many weights, which bounds the memory that packing takes: 8 MiB as f32. */
export const SLICE_WEIGHTS = 2 ** 21;

export interface OpenFile {
  readonly path: string;
  readonly descriptor: number;
}

/**
 * Encodes and writes one group, slice by slice. What lies between the parts is left as it is: zeros.
 *
 * @param onWeights told how many weights were written since the last call
 * @returns CRC-32 of the group's bytes
 * @throws JanusError that names the tensor or file if a weight cannot be encoded or the file not be written
 */
export function writeGroup(
  group: GroupPlan,
  reader: RowReader,
  file: OpenFile,
  onWeights: (weights: number) => void,
): number {
  let checksum = 0;
  for (const [index, part] of group.parts.entries()) {
    const end = group.parts[index + 1]?.offset ?? group.bytes;
    for (const { firstRow, rows, columns } of slicesOf(part)) {
      const weights = reader.read(part, firstRow, rows);
      const bytes = new Uint8Array(rowBytes(rows, columns, part.format));
      encodeRows(weights, rows, columns, part.format, bytes, part.name);
      const at = part.offset + rowBytes(firstRow, columns, part.format);
      writeFully(file, bytes, group.offset + at);
      checksum = crc32(bytes, checksum);
      onWeights(weights.length);
    }
    checksum = crc32(new Uint8Array(end - part.offset - part.bytes), checksum);
  }
  return checksum;
}

/** Most weights of a slice of any of the groups. */
export function largestSlice(groups: readonly GroupPlan[]): number {
  let largest = 0;
  for (const { parts } of groups) {
    for (const part of parts) {
      const { columns } = rowsAndColumns(part.shape);
      largest = Math.max(largest, sliceRows(part) * columns);
    }
  }
  return largest;
}

function sliceRows({ shape, format }: PackedPart): number {
  const { rows, columns } = rowsAndColumns(shape);
  const step = rowsStep(format);
  return Math.min(rows, Math.max(1, Math.floor(SLICE_WEIGHTS / (step * columns))) * step);
}

function* slicesOf(part: PackedPart) {
  const { rows: allRows, columns } = rowsAndColumns(part.shape);
  const most = sliceRows(part);
  for (let firstRow = 0; firstRow < allRows; firstRow += most) {
    yield { firstRow, rows: Math.min(most, allRows - firstRow), columns };
  }
}

function writeFully({ path, descriptor }: OpenFile, bytes: Uint8Array, position: number): void {
  try {
    for (let done = 0; done < bytes.length; ) {
      done += fs.writeSync(descriptor, bytes, done, bytes.length - done, position + done);
    }
  } catch (cause) {
    throw new JanusError(`${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}
