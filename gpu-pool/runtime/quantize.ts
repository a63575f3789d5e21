import { JanusError } from '../../shared/errors/janus-error.ts';
import { roundScaleUpToBfloat16 } from '../kernels/tile8.ts';

/** How a weight matrix is cut into blocks and rounded. */
export interface BlockFormat {
  readonly bits: 4 | 8;
  /** Consecutive inputs of one output row that share a scale: a power of two, at least 16. */
  readonly blockSize: number;
  /** True stores a zero point per block; false places zero at the middle of the code range. */
  readonly zeroPoints: boolean;
}

/**
 * A matrix `[N, K]` in the form of ONNX Runtime's MatMulNBits: weight = (code − zero point) · scale. Each row is cut
 * into ⌈K / blockSize⌉ blocks, the last of which is filled up with zero weights.
 */
export interface BlockQuantized {
  readonly format: BlockFormat;
  /** N, rows (outputs of the layer). */
  readonly outputSize: number;
  /** K, columns (inputs of the layer). */
  readonly inputSize: number;
  /** `[N, blocks, blockSize · bits / 8]`; of two 4-bit codes in a byte the first is the low half. */
  readonly codes: Uint8Array;
  /** `[N, blocks]` */
  readonly scales: Float32Array;
  /** `[N, ⌈blocks · bits / 8⌉]`, packed like the codes; absent where zero is the middle code. */
  readonly zeroPoints: Uint8Array | undefined;
}

/**
 * Rounds `weights` (`[N, K]`, row after row) to blocks.
 * @throws JanusError if the format is not one that MatMulNBits knows or `weights` has the wrong size.
 */
export function quantizeBlocks(
  weights: Float32Array,
  outputSize: number,
  inputSize: number,
  format: BlockFormat,
): BlockQuantized {
  const { bits, blockSize } = format;
  if (blockSize < 16 || (blockSize & (blockSize - 1)) !== 0) {
    throw new JanusError(`block size ${blockSize} must be a power of two, at least 16`);
  }
  if (weights.length !== outputSize * inputSize) {
    throw new JanusError(
      `a [${outputSize}, ${inputSize}] matrix needs ${outputSize * inputSize} weights, got ${weights.length}`,
    );
  }
  const blocks = Math.ceil(inputSize / blockSize);
  const zeroPointBytes = Math.ceil((blocks * bits) / 8);
  const result: BlockQuantized = {
    format,
    outputSize,
    inputSize,
    codes: new Uint8Array((outputSize * blocks * blockSize * bits) / 8),
    scales: new Float32Array(outputSize * blocks),
    zeroPoints: format.zeroPoints ? new Uint8Array(outputSize * zeroPointBytes) : undefined,
  };
  const chooseGrid = format.zeroPoints ? rangeGrid : middleGrid;
  const grid: Grid = { scale: 0, zeroPoint: 0 };
  for (let row = 0; row < outputSize; row += 1) {
    for (let block = 0; block < blocks; block += 1) {
      const start = row * inputSize + block * blockSize;
      const end = Math.min(start + blockSize, (row + 1) * inputSize);
      chooseGrid(weights, start, end, bits, grid);
      // What is stored is bfloat16, so the codes are chosen for that scale.
      grid.scale = roundScaleUpToBfloat16(grid.scale);
      result.scales[row * blocks + block] = grid.scale;
      if (result.zeroPoints !== undefined)
        putCode(result.zeroPoints, bits, row * zeroPointBytes, block, grid.zeroPoint);
      const codesStart = ((row * blocks + block) * blockSize * bits) / 8;
      putBlock(result.codes, codesStart, weights, start, end, format, grid);
    }
  }
  return result;
}

/** The matrix `[N, K]` that a quantised one stands for. */
export function dequantizeBlocks(quantized: BlockQuantized): Float32Array {
  const { format, outputSize, inputSize, codes, scales, zeroPoints } = quantized;
  const { bits, blockSize } = format;
  const blocks = Math.ceil(inputSize / blockSize);
  const zeroPointBytes = Math.ceil((blocks * bits) / 8);
  const weights = new Float32Array(outputSize * inputSize);
  for (let row = 0; row < outputSize; row += 1) {
    for (let column = 0; column < inputSize; column += 1) {
      const block = Math.floor(column / blockSize);
      const rowStart = (row * blocks * blockSize * bits) / 8;
      const zero =
        zeroPoints === undefined ? 2 ** (bits - 1) : getCode(zeroPoints, bits, row * zeroPointBytes, block);
      weights[row * inputSize + column] =
        (getCode(codes, bits, rowStart, column) - zero) * scales[row * blocks + block]!;
    }
  }
  return weights;
}

/** The values that a block's codes stand for: (code − zeroPoint) · scale. */
interface Grid {
  scale: number;
  zeroPoint: number;
}

/** From the block's smallest to its largest weight, zero included, so that zero is exact. */
function rangeGrid(weights: Float32Array, start: number, end: number, bits: 4 | 8, grid: Grid): void {
  let low = 0;
  let high = 0;
  for (let index = start; index < end; index += 1) {
    const weight = weights[index]!;
    if (weight < low) low = weight;
    if (weight > high) high = weight;
  }
  const steps = 2 ** bits - 1;
  grid.scale = (high - low) / steps;
  grid.zeroPoint = grid.scale === 0 ? 2 ** (bits - 1) : Math.round(-low / grid.scale);
}

/**
 * The weight of largest magnitude gets the lowest code, −2^(bits−1), whose magnitude is one more than the highest one's;
 * the scale takes the sign that this needs. (llama.cpp's Q4_0 does the same.)
 */
function middleGrid(weights: Float32Array, start: number, end: number, bits: 4 | 8, grid: Grid): void {
  let largest = 0;
  for (let index = start; index < end; index += 1) {
    if (Math.abs(weights[index]!) > Math.abs(largest)) largest = weights[index]!;
  }
  grid.scale = largest / -(2 ** (bits - 1));
  grid.zeroPoint = 2 ** (bits - 1);
}

function putBlock(
  codes: Uint8Array,
  codesStart: number,
  weights: Float32Array,
  start: number,
  end: number,
  { bits, blockSize }: BlockFormat,
  { scale, zeroPoint }: Grid,
): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  const highest = 2 ** bits - 1;
  for (let index = 0; index < blockSize; index += 1) {
    const weight = start + index < end ? weights[start + index]! : 0;
    const code = Math.round(weight * inverse) + zeroPoint;
    putCode(codes, bits, codesStart, index, Math.min(Math.max(code, 0), highest));
  }
}

function putCode(codes: Uint8Array, bits: 4 | 8, start: number, index: number, code: number): void {
  if (bits === 8) codes[start + index] = code;
  else codes[start + (index >> 1)]! |= code << ((index & 1) * 4);
}

function getCode(codes: Uint8Array, bits: 4 | 8, start: number, index: number): number {
  if (bits === 8) return codes[start + index]!;
  return (codes[start + (index >> 1)]! >> ((index & 1) * 4)) & 15;
}
