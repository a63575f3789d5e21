import { JanusError } from '../../shared/errors/janus-error.ts';

/** How a weight matrix is cut into blocks and rounded. */
export interface BlockFormat {
  readonly bits: 4 | 8;
  /** Consecutive inputs of one output row that share a step: a power of two, at least 16. */
  readonly blockSize: number;
  /** True stores a zero point per block; false places zero at the middle of the code range. */
  readonly zeroPoints: boolean;
  /**
   * True: all steps are 1, so that an 8-bit weight is a signed byte in units of its row's scale, which ONNX Runtime multiplies
   * as it is. Only of 8-bit codes without zero points.
   */
  readonly perRow?: boolean | undefined;
}

/** What a format's fields are, without those of forms that extend it; absent fields stay absent. */
export function blockFormatOf({ bits, blockSize, zeroPoints, perRow }: BlockFormat): BlockFormat {
  return perRow === undefined ? { bits, blockSize, zeroPoints } : { bits, blockSize, zeroPoints, perRow };
}

/** The largest and the smallest weight of 4-bit codes in units of their row's scale: those of a signed byte. */
const LARGEST = 127;
const SMALLEST = -128;
/** The largest step of 8-bit codes: so finely a block's range follows its weights. */
const LARGEST_INT8_STEP = 16;
/** Largest sum that a row's products with signed bytes may have. */
const LARGEST_SUM = 2 ** 31 - 1;

/**
 * A matrix `[N, K]` in blocks: weight = (code − zero point) · step · rowScale, where step is a small whole number. So products
 * with whole numbers are exact in 32-bit integers along the whole row; and in units of its row's scale a weight of a 4-bit code
 * is a signed byte. Each row is cut into ⌈K / blockSize⌉ blocks, the last of which is filled up with zero weights.
 */
export interface BlockQuantized {
  readonly format: BlockFormat;
  /** N, rows (outputs of the layer). */
  readonly outputSize: number;
  /** K, columns (inputs of the layer). */
  readonly inputSize: number;
  /** `[N, blocks, blockSize · bits / 8]`; of two 4-bit codes in a byte the first is the low half. */
  readonly codes: Uint8Array;
  /** `[N]` */
  readonly rowScales: Float32Array;
  /** `[N, blocks]`, 1 to 17 for 4 bits, 1 to 16 for 8, 1 where the format is `perRow` */
  readonly steps: Uint8Array;
  /** `[N, ⌈blocks · bits / 8⌉]`, packed like the codes; absent where zero is the middle code. */
  readonly zeroPoints: Uint8Array | undefined;
}

/**
 * Rounds `weights` (`[N, K]`, row after row) to blocks.
 * @throws JanusError if the format is not one that MatMulNBits knows, is `perRow` where it must not be, or `weights` has the
 * wrong size.
 */
export function quantizeBlocks(
  weights: Float32Array,
  outputSize: number,
  inputSize: number,
  format: BlockFormat,
): BlockQuantized {
  const { bits, blockSize } = format;
  checkFormat(format);
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
    rowScales: new Float32Array(outputSize),
    steps: new Uint8Array(outputSize * blocks),
    zeroPoints: format.zeroPoints ? new Uint8Array(outputSize * zeroPointBytes) : undefined,
  };
  const largestUnit = largestUnitOf(format, inputSize);
  // A scale that was rounded down must not make the step of its largest weight a larger one.
  const largestStep = largestUnit / LARGEST;
  const grid: Grid = { step: 1, zeroPoint: 2 ** (bits - 1) };
  const units = new Float64Array(blockSize);
  for (let row = 0; row < outputSize; row += 1) {
    const largest = largestOf(weights, row * inputSize, (row + 1) * inputSize);
    const rowScale = Math.fround(largest / largestUnit);
    result.rowScales[row] = rowScale;
    for (let block = 0; block < blocks; block += 1) {
      const start = row * inputSize + block * blockSize;
      toUnits(weights, start, Math.min(start + blockSize, (row + 1) * inputSize), rowScale, units);
      if (bits === 4) chooseGrid(units, format.zeroPoints, grid);
      else
        grid.step = Math.min(Math.max(1, Math.ceil(largestOf(units, 0, blockSize) / LARGEST)), largestStep);
      result.steps[row * blocks + block] = grid.step;
      if (result.zeroPoints !== undefined)
        putCode(result.zeroPoints, bits, row * zeroPointBytes, block, grid.zeroPoint);
      const codesStart = ((row * blocks + block) * blockSize * bits) / 8;
      for (let index = 0; index < blockSize; index += 1) {
        putCode(result.codes, bits, codesStart, index, codeOf(units[index]!, bits, grid));
      }
    }
  }
  return result;
}

function checkFormat({ bits, blockSize, zeroPoints, perRow }: BlockFormat): void {
  if (blockSize < 16 || (blockSize & (blockSize - 1)) !== 0) {
    throw new JanusError(`block size ${blockSize} must be a power of two, at least 16`);
  }
  if (perRow && (bits !== 8 || zeroPoints)) {
    throw new JanusError('only 8-bit codes without zero points can share one scale per row');
  }
}

/** `[N, blocks]` scales as MatMulNBits takes them: weight = (code − zero point) · scale. */
export function blockScales({ rowScales, steps }: BlockQuantized): Float32Array {
  const blocks = steps.length / rowScales.length;
  return Float32Array.from(steps, (step, index) => step * rowScales[Math.floor(index / blocks)]!);
}

/** The matrix `[N, K]` that a quantised one stands for. */
export function dequantizeBlocks(quantized: BlockQuantized): Float32Array {
  const { format, outputSize, inputSize, codes, zeroPoints } = quantized;
  const { bits, blockSize } = format;
  const scales = blockScales(quantized);
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

/** The values that a block's codes stand for, in units of the row's scale: (code − zeroPoint) · step. */
interface Grid {
  step: number;
  zeroPoint: number;
}

/** Largest weight of a row in units of its scale. */
function largestUnitOf({ bits, perRow }: BlockFormat, inputSize: number): number {
  if (bits === 4 || perRow) return LARGEST;
  return LARGEST * Math.min(LARGEST_INT8_STEP, Math.floor(LARGEST_SUM / (LARGEST * LARGEST * inputSize)));
}

function largestOf(values: Float32Array | Float64Array, start: number, end: number): number {
  let largest = 0;
  for (let index = start; index < end; index += 1) largest = Math.max(largest, Math.abs(values[index]!));
  return largest;
}

/** A block's weights in units of its row's scale, zeros beyond the end. */
function toUnits(
  weights: Float32Array,
  start: number,
  end: number,
  rowScale: number,
  units: Float64Array,
): void {
  units.fill(0);
  if (rowScale === 0) return;
  for (let index = start; index < end; index += 1) units[index - start] = weights[index]! / rowScale;
}

/**
 * The grid of 16 values with the least squared error, of the few around the one from the block's smallest to its largest weight.
 * Zero is always one of its values, so that it is exact.
 */
function chooseGrid(units: Float64Array, zeroPoints: boolean, grid: Grid): void {
  let low = 0;
  let high = 0;
  for (const unit of units) {
    if (unit < low) low = unit;
    if (unit > high) high = unit;
  }
  const ideal = zeroPoints ? (high - low) / 15 : Math.max(high, -low) / 7.5;
  const largestStep = Math.max(1, Math.ceil(ideal));
  let least = Number.POSITIVE_INFINITY;
  const tried: Grid = { step: 1, zeroPoint: 8 };
  for (let step = Math.max(1, largestStep - 2); step <= largestStep; step += 1) {
    const middle = zeroPoints ? Math.round(-low / step) : 8;
    const reach = zeroPoints ? 1 : 0;
    for (let zeroPoint = middle - reach; zeroPoint <= middle + reach; zeroPoint += 1) {
      if (zeroPoint < 0 || zeroPoint > 15) continue;
      tried.step = step;
      tried.zeroPoint = zeroPoint;
      const error = squaredError(units, tried, least);
      if (error >= least) continue;
      least = error;
      grid.step = step;
      grid.zeroPoint = zeroPoint;
    }
  }
}

/** Of a block on a grid of 4-bit codes; some value from `enough` on where it is at least that. */
function squaredError(units: Float64Array, grid: Grid, enough: number): number {
  const { step } = grid;
  const lowest = lowestMultiple(4, grid);
  const highest = highestMultiple(4, grid);
  let sum = 0;
  for (let index = 0; index < units.length && sum < enough; index += 1) {
    const unit = units[index]!;
    const error = Math.min(Math.max(Math.floor(unit / step + 0.5), lowest), highest) * step - unit;
    sum += error * error;
  }
  return sum;
}

/** The code whose value is nearest to `unit`; of 4-bit codes, of those whose value is a signed byte. */
function codeOf(unit: number, bits: 4 | 8, grid: Grid): number {
  const multiple = Math.floor(unit / grid.step + 0.5);
  return (
    Math.min(Math.max(multiple, lowestMultiple(bits, grid)), highestMultiple(bits, grid)) + grid.zeroPoint
  );
}

/** Of the step, below which no code reaches. */
function lowestMultiple(bits: 4 | 8, { step, zeroPoint }: Grid): number {
  return bits === 8 ? -zeroPoint : Math.max(-zeroPoint, Math.ceil(SMALLEST / step));
}

function highestMultiple(bits: 4 | 8, { step, zeroPoint }: Grid): number {
  const most = 2 ** bits - 1 - zeroPoint;
  return bits === 8 ? most : Math.min(most, Math.floor(LARGEST / step));
}

function putCode(codes: Uint8Array, bits: 4 | 8, start: number, index: number, code: number): void {
  if (bits === 8) codes[start + index] = code;
  else codes[start + (index >> 1)]! |= code << ((index & 1) * 4);
}

function getCode(codes: Uint8Array, bits: 4 | 8, start: number, index: number): number {
  if (bits === 8) return codes[start + index]!;
  return (codes[start + (index >> 1)]! >> ((index & 1) * 4)) & 15;
}
