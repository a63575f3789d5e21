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
 *   scales       8 bfloat16, rows in the order 0 4 1 5 2 6 3 7: like the int4 codes, one shift or mask takes them apart
 *   zero points  16 unsigned bytes, each of the 8 twice, rows in order: a kernel multiplies pairs of sums by them
 */

/** Output rows of a tile. */
export const TILE_ROWS = 8;

/** Of one bfloat16. */
const SCALE_BYTES = 2;
/** Where the zero points start in a block's tail. */
const ZERO_POINTS_OFFSET = SCALE_BYTES * TILE_ROWS;
/** Scales and zero points of a block. */
const BLOCK_TAIL_BYTES = 32;

/** The block sizes that the layout knows: whole steps of the kernels, which take 32 inputs at a time. */
const BLOCK_SIZES: readonly number[] = [32, 64, 128];

/**
 * Bytes of a matrix `[outputSize, inputSize]` in layout tile8.
 * @throws JanusError if the layout does not know the block size.
 */
export function tile8Bytes(outputSize: number, inputSize: number, format: BlockFormat): number {
  return Math.ceil(outputSize / TILE_ROWS) * blocksOf(inputSize, format) * blockBytes(format);
}

/**
 * Writes `quantized` to the first `tile8Bytes` bytes of `target`.
 * @throws JanusError if the layout does not know the block size, `target` is too small, or a scale is not a bfloat16.
 */
export function packTile8(quantized: BlockQuantized, target: Uint8Array): void {
  const { format, outputSize, inputSize } = quantized;
  const size = checkedSize(outputSize, inputSize, format, target, 'target');
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
  checkedSize(outputSize, inputSize, format, source, 'source');
  const { bits, blockSize } = format;
  const blocks = blocksOf(inputSize, format);
  const quantized: BlockQuantized = {
    format,
    outputSize,
    inputSize,
    codes: new Uint8Array((outputSize * blocks * blockSize * bits) / 8),
    scales: new Float32Array(outputSize * blocks),
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
  }
  return quantized;
}

const floatOfRounding = new Float32Array(1);
const bitsOfRounding = new Uint32Array(floatOfRounding.buffer);

/**
 * The nearest bfloat16 that is not smaller in magnitude. Rounding away from zero keeps every weight of a block within
 * the range of its codes.
 */
export function roundScaleUpToBfloat16(scale: number): number {
  floatOfRounding[0] = scale;
  const bits = bitsOfRounding[0]!;
  if ((bits & 0xffff) !== 0) bitsOfRounding[0] = (bits & 0xffff_0000) + 0x1_0000;
  return floatOfRounding[0]!;
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

/** Where the scale of row `row` of a tile stands: in the order 0 4 1 5 2 6 3 7. */
function scaleOffset(row: number): number {
  return SCALE_BYTES * ((row & 3) * 2 + (row >> 2));
}

function packTail(
  { outputSize, format, scales, zeroPoints }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  target: Uint8Array,
  at: number,
): void {
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    floatOfRounding[0] = scales[(firstRow + row) * blocks + block]!;
    const bits = bitsOfRounding[0]!;
    if ((bits & 0xffff) !== 0) {
      throw new JanusError(
        `the scale ${floatOfRounding[0]} of row ${firstRow + row}, block ${block} is not a bfloat16; ` +
          'quantise with scales that roundScaleUpToBfloat16 rounded',
      );
    }
    const scaleAt = at + scaleOffset(row);
    target[scaleAt] = (bits >>> 16) & 255;
    target[scaleAt + 1] = bits >>> 24;
    const zeroPointAt = at + ZERO_POINTS_OFFSET + 2 * row;
    const zeroPoint = zeroPointOf(zeroPoints, format.bits, firstRow + row, block, blocks);
    target.fill(zeroPoint, zeroPointAt, zeroPointAt + 2);
  }
}

function unpackTail(
  { outputSize, format, scales, zeroPoints }: BlockQuantized,
  firstRow: number,
  block: number,
  blocks: number,
  source: Uint8Array,
  at: number,
): void {
  const rows = Math.min(TILE_ROWS, outputSize - firstRow);
  for (let row = 0; row < rows; row += 1) {
    const scaleAt = at + scaleOffset(row);
    bitsOfRounding[0] = (source[scaleAt]! << 16) | (source[scaleAt + 1]! << 24);
    scales[(firstRow + row) * blocks + block] = floatOfRounding[0]!;
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
