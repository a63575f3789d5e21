import { JanusError } from '../errors/janus-error.ts';
import type { LayerStep, LayerStepShape } from './layer-step.ts';

/**
 * Binary form of a layer step and of its answer, for links that leave the process. Little-endian.
 *
 * ```
 * byte 0   magic 'JNX1'        16  placement version    32  attention instance, 24 bytes of ASCII, zero padded
 *      4   kind                20  rows                 56  reserved
 *      8   sequence            24  hidden size          64  body
 *     12   layer | attempt<<16 28  experts per token
 * ```
 * Body of a dispatch: hidden `[T, H]` f32, expert ids `[T, k]` i32, gate weights `[T, k]` f32. Body of an answer: the
 * host's share of the MoE output, `[T, H]` f32. `stale` and `failed` have a text as body.
 */
export const FRAME_HEADER_BYTES = 64;
const MAGIC = 0x31584e4a;
const ATTENTION_OFFSET = 32;
/** Longest id of an attention instance, in ASCII characters. */
export const ATTENTION_ID_LIMIT = 24;

export const FrameKind = { dispatch: 1, answer: 2, stale: 3, failed: 4 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** The fixed part of every frame. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly sequence: number;
  readonly layer: number;
  readonly attempt: number;
  readonly placementVersion: number;
  readonly rows: number;
  readonly hiddenSize: number;
  readonly expertsPerToken: number;
  readonly attention: string;
}

/** Bytes of a dispatch frame of `rows` rows. */
export function dispatchBytes(rows: number, shape: LayerStepShape): number {
  return FRAME_HEADER_BYTES + rows * (shape.hiddenSize * 4 + shape.expertsPerToken * 8);
}

/** Bytes of an answer frame of `rows` rows. */
export function answerBytes(rows: number, shape: LayerStepShape): number {
  return FRAME_HEADER_BYTES + rows * shape.hiddenSize * 4;
}

/** Writes `header` to the first 64 bytes of `frame`. */
export function writeHeader(frame: Uint8Array, header: FrameHeader): void {
  const view = new DataView(frame.buffer, frame.byteOffset, FRAME_HEADER_BYTES);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, header.kind, true);
  view.setUint32(8, header.sequence, true);
  view.setUint16(12, header.layer, true);
  view.setUint16(14, header.attempt, true);
  view.setUint32(16, header.placementVersion, true);
  view.setUint32(20, header.rows, true);
  view.setUint32(24, header.hiddenSize, true);
  view.setUint32(28, header.expertsPerToken, true);
  for (let i = 0; i < ATTENTION_ID_LIMIT; i++) {
    frame[ATTENTION_OFFSET + i] = i < header.attention.length ? header.attention.charCodeAt(i) : 0;
  }
}

/**
 * Reads and checks the header of `frame`.
 *
 * @throws JanusError when the frame is short, of another protocol, of another shape, or its length does not fit its rows.
 */
export function readHeader(frame: Uint8Array, shape: LayerStepShape): FrameHeader {
  if (frame.byteLength < FRAME_HEADER_BYTES) {
    throw new JanusError(
      `Exchange frame of ${frame.byteLength} bytes is shorter than its ${FRAME_HEADER_BYTES}-byte header.`,
    );
  }
  const view = new DataView(frame.buffer, frame.byteOffset, FRAME_HEADER_BYTES);
  if (view.getUint32(0, true) !== MAGIC) {
    throw new JanusError(
      'Exchange frame has an unknown magic number: both hosts must run the same version of Janus.',
    );
  }
  const header: FrameHeader = {
    kind: view.getUint32(4, true) as FrameKind,
    sequence: view.getUint32(8, true),
    layer: view.getUint16(12, true),
    attempt: view.getUint16(14, true),
    placementVersion: view.getUint32(16, true),
    rows: view.getUint32(20, true),
    hiddenSize: view.getUint32(24, true),
    expertsPerToken: view.getUint32(28, true),
    attention: readAscii(frame, ATTENTION_OFFSET, ATTENTION_ID_LIMIT),
  };
  checkHeader(frame, header, shape);
  return header;
}

function checkHeader(frame: Uint8Array, header: FrameHeader, shape: LayerStepShape): void {
  if (header.kind < FrameKind.dispatch || header.kind > FrameKind.failed) {
    throw new JanusError(`Exchange frame has unknown kind ${header.kind}.`);
  }
  if (header.hiddenSize !== shape.hiddenSize || header.expertsPerToken !== shape.expertsPerToken) {
    throw new JanusError(
      `Exchange frame is for hidden size ${header.hiddenSize} and top-${header.expertsPerToken}, this host serves ` +
        `${shape.hiddenSize} and top-${shape.expertsPerToken}: both hosts must load the same model.`,
    );
  }
  if (header.kind > FrameKind.answer) return;
  if (header.rows > shape.maxRows) {
    throw new JanusError(`Exchange frame of ${header.rows} rows is over the limit of ${shape.maxRows} rows.`);
  }
  const expected =
    header.kind === FrameKind.dispatch ? dispatchBytes(header.rows, shape) : answerBytes(header.rows, shape);
  if (frame.byteLength !== expected) {
    throw new JanusError(
      `Exchange frame of ${header.rows} rows has ${frame.byteLength} bytes, expected ${expected}.`,
    );
  }
}

function readAscii(frame: Uint8Array, offset: number, limit: number): string {
  let text = '';
  for (let i = 0; i < limit && frame[offset + i] !== 0; i++) text += String.fromCharCode(frame[offset + i]!);
  return text;
}

/** Bytes of `array[0, length)` without a copy. */
export function bytesOf(array: Float32Array | Int32Array, length: number): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, length * 4);
}

/** Writes the body of a dispatch frame behind its header. */
export function writeDispatchBody(frame: Uint8Array, step: LayerStep, shape: LayerStepShape): void {
  const hiddenBytes = step.rows * shape.hiddenSize * 4;
  const pairs = step.rows * shape.expertsPerToken;
  frame.set(bytesOf(step.hidden, step.rows * shape.hiddenSize), FRAME_HEADER_BYTES);
  frame.set(bytesOf(step.expertIds, pairs), FRAME_HEADER_BYTES + hiddenBytes);
  frame.set(bytesOf(step.gateWeights, pairs), FRAME_HEADER_BYTES + hiddenBytes + pairs * 4);
}

/** Copies the body of a dispatch frame into the arrays of `step`, whose `rows` must be set from the header before. */
export function readDispatchBody(frame: Uint8Array, step: LayerStep, shape: LayerStepShape): void {
  const hiddenEnd = FRAME_HEADER_BYTES + step.rows * shape.hiddenSize * 4;
  const pairs = step.rows * shape.expertsPerToken;
  bytesOf(step.hidden, step.rows * shape.hiddenSize).set(frame.subarray(FRAME_HEADER_BYTES, hiddenEnd));
  bytesOf(step.expertIds, pairs).set(frame.subarray(hiddenEnd, hiddenEnd + pairs * 4));
  bytesOf(step.gateWeights, pairs).set(frame.subarray(hiddenEnd + pairs * 4, hiddenEnd + pairs * 8));
}

/** Text behind the header of a `stale` or `failed` frame. */
export function readText(frame: Uint8Array): string {
  return new TextDecoder().decode(frame.subarray(FRAME_HEADER_BYTES));
}
