import { JanusError } from '../../shared/errors/janus-error.ts';
import type { BlockFormat, BlockQuantized } from '../runtime/quantize.ts';

/*
 * Layout "panels" of a matrix [N, K] of 8-bit codes with one scale per row, as ONNX Runtime multiplies it in place. Its rows, the
 * columns of a product, are cut into panels of 512; the last is as wide as what is left, padded to a multiple of 16 with zero
 * weights. Panels follow each other; one of width W is
 *   weights  [K, W] signed bytes: code − 128
 *   scales   [W] f32, of the rows
 */

/** Rows of the matrix in a panel: so many that a call of ONNX Runtime for one costs little beside the product. */
export const PANEL_ROWS = 512;
/** What kernels take at once. */
const ROW_STEP = 16;
const ZERO_CODE = 128;

const paddedWidth = (rows: number): number => Math.ceil(rows / ROW_STEP) * ROW_STEP;

/** Bytes of a matrix `[outputSize, inputSize]` in layout panels. */
export function panelBytes(outputSize: number, inputSize: number): number {
  return paddedWidth(outputSize) * (inputSize + 4);
}

/** A panel of a matrix. */
interface Panel {
  readonly firstRow: number;
  readonly rows: number;
  readonly width: number;
  /** Where it lies. */
  readonly at: number;
}

function* panelsOf(outputSize: number, inputSize: number): Generator<Panel> {
  for (let firstRow = 0; firstRow < outputSize; firstRow += PANEL_ROWS) {
    const rows = Math.min(PANEL_ROWS, outputSize - firstRow);
    yield { firstRow, rows, width: paddedWidth(rows), at: firstRow * (inputSize + 4) };
  }
}

/** Writes `quantized` to the first `panelBytes` bytes of `target`. @throws JanusError if `target` is too small */
export function packPanels(quantized: BlockQuantized, target: Uint8Array): void {
  const { outputSize, inputSize, codes, rowScales, format } = quantized;
  checkRoom(outputSize, inputSize, target);
  const scales = new DataView(target.buffer, target.byteOffset);
  const stride = Math.ceil(inputSize / format.blockSize) * format.blockSize;
  target.fill(0, 0, panelBytes(outputSize, inputSize));
  for (const { firstRow, rows, width, at } of panelsOf(outputSize, inputSize)) {
    for (let row = 0; row < rows; row += 1) {
      const from = (firstRow + row) * stride;
      for (let input = 0; input < inputSize; input += 1) {
        target[at + input * width + row] = codes[from + input]! - ZERO_CODE;
      }
      scales.setFloat32(at + inputSize * width + 4 * row, rowScales[firstRow + row]!, true);
    }
  }
}

/** The matrix that `packPanels` wrote: its exact inverse. @throws JanusError if `source` is too small */
export function unpackPanels(
  source: Uint8Array,
  outputSize: number,
  inputSize: number,
  format: BlockFormat,
): BlockQuantized {
  checkRoom(outputSize, inputSize, source);
  const blocks = Math.ceil(inputSize / format.blockSize);
  const stride = blocks * format.blockSize;
  const codes = new Uint8Array(outputSize * stride).fill(ZERO_CODE);
  const rowScales = new Float32Array(outputSize);
  const scales = new DataView(source.buffer, source.byteOffset);
  for (const { firstRow, rows, width, at } of panelsOf(outputSize, inputSize)) {
    for (let row = 0; row < rows; row += 1) {
      const to = (firstRow + row) * stride;
      for (let input = 0; input < inputSize; input += 1) {
        codes[to + input] = source[at + input * width + row]! + ZERO_CODE;
      }
      rowScales[firstRow + row] = scales.getFloat32(at + inputSize * width + 4 * row, true);
    }
  }
  const steps = new Uint8Array(outputSize * blocks).fill(1);
  return { format, outputSize, inputSize, codes, rowScales, steps, zeroPoints: undefined };
}

function checkRoom(outputSize: number, inputSize: number, bytes: Uint8Array): void {
  const size = panelBytes(outputSize, inputSize);
  if (bytes.length >= size) return;
  throw new JanusError(
    `a [${outputSize}, ${inputSize}] matrix takes ${size} bytes in layout panels, not ${bytes.length}`,
  );
}
