import { JanusError } from '../../shared/errors/janus-error.ts';
import type { BlockFormat, BlockQuantized } from '../runtime/quantize.ts';

/*
 * Layout "tile8" of a quantised matrix [N, K], as the WebAssembly kernels read it and packed models store it. N is padded
 * to a multiple of 8 and K to a multiple of the block size, with zero weights.
 *
 * Tiles of 8 output rows follow each other; in a tile, blocks follow each other along K; a block is
 *   codes        int4: blockSize · 4 bytes. Every 4 inputs take 16 bytes: byte 4·r + i holds input i of row r in its low
 *                and of row r + 4 in its high half (r < 4).
 *                int8: blockSize · 8 bytes. Every 32 inputs take 128 bytes for rows 0 to 3 and then 128 for rows 4 to 7,
 *                in which every 4 inputs take 16 bytes: byte 4·(r mod 4) + i holds input i of row r.
 *   steps        16 unsigned bytes, each of the 8 twice, rows in order: a kernel multiplies pairs of sums by them
 *   zero points  16 unsigned bytes in the same order
 * and behind the blocks of a tile the scales of its 8 rows (f32).
 */

/** Output rows of a tile. */
export const TILE_ROWS = 8;

/** Where the zero points start in a block's tail. */
const ZERO_POINTS_OFFSET = 2 * TILE_ROWS;
/** Steps and zero points of a block. */
const BLOCK_TAIL_BYTES = 32;
/** Scales of a tile's rows. */
const ROW_SCALES_BYTES = 4 * TILE_ROWS;

/** The block sizes that the layout knows: whole steps of the kernels, which take 32 inputs at a time. */
const BLOCK_SIZES: readonly number[] = [32, 64, 128];
/** To which inputs are padded at most. */
export const LARGEST_BLOCK = 128;

/**
 * Bytes of a matrix `[outputSize, inputSize]` in layout tile8.
 * @throws JanusError if the layout does not know the block size.
 */
export function tile8Bytes(outputSize: number, inputSize: number, format: BlockFormat): number {
  const tileBytes = blocksOf(inputSize, format) * blockBytes(format) + ROW_SCALES_BYTES;
  return Math.ceil(outputSize / TILE_ROWS) * tileBytes;
}

/**
 * Writes `quantized` to the first `tile8Bytes` bytes of `target`.
 * @throws JanusError if the layout does not know the block size or `target` is too small.
 */
export function packTile8(quantized: BlockQuantized, target: Uint8Array): void {
  const { format, outputSize, inputSize, rowScales } = quantized;
  const size = checkedSize(outputSize, inputSize, format, target, 'target');
  const scales = new DataView(target.buffer, target.byteOffset, size);
  target.fill(0, 0, size);
  const blocks = blocksOf(inputSize, format);
  const packCodes = format.bits === 4 ? packInt4Codes : packInt8Codes;
  let at = 0;
  for (let firstRow = 0; firstRow < outputSize; firstRow += TILE_ROWS) {
    for (let block = 0; block < blocks; block += 1) {
      packCodes(quantized, firstRow, block, blocks, target, at);
      packTail(quantized, firstRow, block, blocks, target, at + codeBytes(format));
      at += blockBytes(format);
    }
    const rows = Math.min(TILE_ROWS, outputSize - firstRow);
    for (let row = 0; row < rows; row += 1) {
      scales.setFloat32(at + 4 * row, rowScales[firstRow + row]!, true);
    }
    at += ROW_SCALES_BYTES;
  }
}

/**
 * The matrix that `packTile8` wrote: its exact inverse.
 * @throws JanusError if the layout does not know the block size or `source` is too small.
 */
export function unpackTile8(
  source: Uint8Array,
  outputSize: number,
  inputSize: number,
  format: BlockFormat,
): BlockQuantized {
  const size = checkedSize(outputSize, inputSize, format, source, 'source');
  const scales = new DataView(source.buffer, source.byteOffset, size);
  const { bits, blockSize } = format;
  const blocks = blocksOf(inputSize, format);
  const quantized: BlockQuantized = {
    format,
    outputSize,
    inputSize,
    codes: new Uint8Array((outputSize * blocks * blockSize * bits) / 8),
    rowScales: new Float32Array(outputSize),
    steps: new Uint8Array(outputSize * blocks),
    zeroPoints: format.zeroPoints ? new Uint8Array(outputSize * zeroPointRowBytes(blocks, bits)) : undefined,
  };
  const unpackCodes = bits === 4 ? unpackInt4Codes : unpackInt8Codes;
  let at = 0;
  for (let firstRow = 0; firstRow < outputSize; firstRow += TILE_ROWS) {
    for (let block = 0; block < blocks; block += 1) {
      unpackCodes(quantized, firstRow, block, blocks, source, at);
      unpackTail(quantized, firstRow, block, blocks, source, at + codeBytes(format));
      at += blockBytes(format);
    }
    const rows = Math.min(TILE_ROWS, outputSize - firstRow);
    for (let row = 0; row < rows; row += 1) {
      quantized.rowScales[firstRow + row] = scales.getFloat32(at + 4 * row, true);
    }
    at += ROW_SCALES_BYTES;
  }
  return quantized;
}

function blocksOf(inputSize: number, { blockSize }: BlockFormat): number {
  if (!BLOCK_SIZES.includes(blockSize)) {
    throw new JanusError(
      `block size ${blockSize} has no tile8 layout; choose one of ${BLOCK_SIZES.join(', ')}`,
    );
  }
  return Math.ceil(inputSize / blockSize);
}

function codeBytes({ bits, blockSize }: BlockFormat): number {
  return blockSize * bits;
}

function blockBytes(format: BlockFormat): number {
  return codeBytes(format) + BLOCK_TAIL_BYTES;
}

function zeroPointRowBytes(blocks: number, bits: 4 | 8): number {
  return Math.ceil((blocks * bits) / 8);
}

function checkedSize(
  outputSize: number,
  inputSize: number,
  format: BlockFormat,
  bytes: Uint8Array,
  name: string,
): number {
  const size = tile8Bytes(outputSize, inputSize, format);
  if (bytes.length < size) {
    throw new JanusError(
      `a [${outputSize}, ${inputSize}] int${format.bits} matrix takes ${size} bytes in layout tile8, ` +
        `but ${name} has ${bytes.length}`,
    );
  }
  return size;
}

function packInt4Codes(
  { outputSize, format, codes }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  target: Uint8Array,
  at: number,
): void {
  const bytes = format.blockSize / 2;
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    const source = ((firstRow + row) * blocks + block) * bytes;
    const shift = row < 4 ? 0 : 4;
    const start = at + 4 * (row & 3);
    for (let byte = 0; byte < bytes; byte += 1) {
      const pair = codes[source + byte]!;
      const to = start + (byte >> 1) * 16 + (byte & 1) * 2;
      target[to]! |= (pair & 15) << shift;
      target[to + 1]! |= (pair >> 4) << shift;
    }
  }
}

function unpackInt4Codes(
  { outputSize, format, codes }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  source: Uint8Array,
  at: number,
): void {
  const bytes = format.blockSize / 2;
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    const target = ((firstRow + row) * blocks + block) * bytes;
    const shift = row < 4 ? 0 : 4;
    const start = at + 4 * (row & 3);
    for (let byte = 0; byte < bytes; byte += 1) {
      const from = start + (byte >> 1) * 16 + (byte & 1) * 2;
      codes[target + byte] = ((source[from]! >> shift) & 15) | (((source[from + 1]! >> shift) & 15) << 4);
    }
  }
}

function int8RowOffset(row: number): number {
  return (row >> 2) * 128 + (row & 3) * 4;
}

function int8InputOffset(input: number): number {
  return (input >> 5) * 256 + ((input & 31) >> 2) * 16 + (input & 3);
}

function packInt8Codes(
  { outputSize, format, codes }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  target: Uint8Array,
  at: number,
): void {
  const { blockSize } = format;
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    const source = ((firstRow + row) * blocks + block) * blockSize;
    const start = at + int8RowOffset(row);
    for (let input = 0; input < blockSize; input += 1) {
      target[start + int8InputOffset(input)] = codes[source + input]!;
    }
  }
}

function unpackInt8Codes(
  { outputSize, format, codes }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  source: Uint8Array,
  at: number,
): void {
  const { blockSize } = format;
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    const target = ((firstRow + row) * blocks + block) * blockSize;
    const start = at + int8RowOffset(row);
    for (let input = 0; input < blockSize; input += 1) {
      codes[target + input] = source[start + int8InputOffset(input)]!;
    }
  }
}

function packTail(
  { outputSize, format, steps, zeroPoints }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  target: Uint8Array,
  at: number,
): void {
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    target.fill(steps[(firstRow + row) * blocks + block]!, at + 2 * row, at + 2 * row + 2);
    const zeroPointAt = at + ZERO_POINTS_OFFSET + 2 * row;
    const zeroPoint = zeroPointOf(zeroPoints, format.bits, firstRow + row, block, blocks);
    target.fill(zeroPoint, zeroPointAt, zeroPointAt + 2);
  }
}

function unpackTail(
  { outputSize, format, steps, zeroPoints }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  source: Uint8Array,
  at: number,
): void {
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    steps[(firstRow + row) * blocks + block] = source[at + 2 * row]!;
    if (zeroPoints === undefined) continue;
    const zeroPoint = source[at + ZERO_POINTS_OFFSET + 2 * row]!;
    const start = (firstRow + row) * zeroPointRowBytes(blocks, format.bits);
    if (format.bits === 8) zeroPoints[start + block] = zeroPoint;
    else zeroPoints[start + (block >> 1)]! |= zeroPoint << ((block & 1) * 4);
  }
}

function zeroPointOf(
  zeroPoints: Uint8Array | undefined,
  bits: 4 | 8,
  row: number,
  block: number,
  blocks: number,
): number {
  if (zeroPoints === undefined) return 2 ** (bits - 1);
  const start = row * zeroPointRowBytes(blocks, bits);
  if (bits === 8) return zeroPoints[start + block]!;
  return (zeroPoints[start + (block >> 1)]! >> ((block & 1) * 4)) & 15;
}
