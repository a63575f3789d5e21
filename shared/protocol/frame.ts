import { JanusError } from '../errors/janus-error.ts';
import { crc32 } from './crc32.ts';
import type { LayerStep, LayerStepShape } from './layer-step.ts';

/**
 * Binary form of a layer step and of its answer, for links that leave the process. Little-endian.
 *
 * ```
 * byte 0   magic 'JNX3'        20  rows                   56  combine time of the host, µs, f32
 *      4   kind                24  hidden size            60  only: instance that is asked, or -1 for all of the host
 *      8   sequence            28  experts per token      64  gather: answers that Redis joins into one, or 0
 *     12   layer | attempt<<16 32  attention instance:    68  host: position of the answering host in the placement
 *     16   placement version       24 bytes of ASCII,     72  a_max of the answering host
 *                                  zero padded            76  CRC-32 of the 76 bytes before
 *                                                         80  body
 * ```
 * `placement version` has 48 bits, since it may be a time in milliseconds: the high 16 are the high half of the word of `kind`.
 *
 * Body of a dispatch: hidden `[T, H]` f32, expert ids `[T, k]` i32, gate weights `[T, k]` f32; `activations` has only
 * hidden, and the expert host gates. Body of an answer: the host's share of the MoE output, `[T, H]` f32. `stale`,
 * `failed` and `lost` have a text as body, and name in `placement version` the newest one that the host holds; `lost` names in
 * `only` the instance that has ended.
 */
export const FRAME_HEADER_BYTES = 80;
const MAGIC = 0x33584e4a;
const ATTENTION_OFFSET = 32;
/** Longest id of an attention instance, in ASCII characters. */
export const ATTENTION_ID_LIMIT = 24;
const ATTENTION_ID = /^[\x21-\x7e]{1,24}$/;

const COMBINE_TIME_OFFSET = 56;
const ONLY_OFFSET = 60;
const GATHER_OFFSET = 64;
const HOST_OFFSET = 68;
const A_MAX_OFFSET = 72;
const CHECKSUM_OFFSET = 76;
/** Value of `only` where all instances of the host are asked. */
export const ALL_INSTANCES = -1;
/** Longest text of a frame, in bytes of UTF-8. */
export const FRAME_TEXT_LIMIT_BYTES = 1_024;

export const FrameKind = { dispatch: 1, answer: 2, stale: 3, failed: 4, lost: 5, activations: 6 } as const;
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
  /** Id of the attention instance that sent the layer step; printable ASCII. */
  readonly attention: string;
  /** In an answer: time that the host took for the weighted sum, in microseconds. */
  readonly combineUs: number;
  /** Instance that is asked for its share, or `ALL_INSTANCES` of the host. */
  readonly only: number;
  /** Number of answers that Redis is to join into one message; 0: each is sent by itself. */
  readonly gather: number;
  /** In an answer: position of its host among the hosts of the placement. */
  readonly hostIndex: number;
  /** In an answer: largest number of activated experts on one instance of the host. */
  readonly aMax: number;
}

/** Bytes of a dispatch frame of `rows` rows. */
export function dispatchBytes(rows: number, shape: LayerStepShape): number {
  return FRAME_HEADER_BYTES + rows * (shape.hiddenSize * 4 + shape.expertsPerToken * 8);
}

/** Bytes of an answer frame of `rows` rows. */
export function answerBytes(rows: number, shape: LayerStepShape): number {
  return FRAME_HEADER_BYTES + rows * shape.hiddenSize * 4;
}

/** @throws JanusError when `attention` does not fit the field of the frame, so that no answer could find its way back */
export function checkAttentionId(attention: string): void {
  if (ATTENTION_ID.test(attention)) return;
  throw new JanusError(
    `Attention instance id ${JSON.stringify(attention)} must be 1 to ${ATTENTION_ID_LIMIT} printable ASCII characters.`,
  );
}

/** Writes `header`, with its checksum, to the beginning of `frame`. */
export function writeHeader(frame: Uint8Array, header: FrameHeader): void {
  const view = new DataView(frame.buffer, frame.byteOffset, FRAME_HEADER_BYTES);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, header.kind, true);
  view.setUint16(6, header.placementVersion / 2 ** 32, true);
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
  view.setFloat32(COMBINE_TIME_OFFSET, header.combineUs, true);
  view.setInt32(ONLY_OFFSET, header.only, true);
  view.setUint32(GATHER_OFFSET, header.gather, true);
  view.setUint32(HOST_OFFSET, header.hostIndex, true);
  view.setUint32(A_MAX_OFFSET, header.aMax, true);
  view.setUint32(CHECKSUM_OFFSET, crc32(frame, CHECKSUM_OFFSET), true);
}

/**
 * Reads and checks the header of `frame`.
 *
 * @throws JanusError when the frame is short, of another protocol, of another shape, or its length does not fit its rows.
 */
export function readHeader(frame: Uint8Array, shape: LayerStepShape): FrameHeader {
  const header = parseHeader(frame);
  checkHeader(frame, header, shape);
  return header;
}

/**
 * Reads the header of a frame of this protocol without checking that it fits the receiver: enough to know whom to tell
 * that it does not.
 *
 * @throws JanusError when the frame is short, damaged, of another protocol, or does not say who sent it
 */
export function parseHeader(frame: Uint8Array): FrameHeader {
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
  if (view.getUint32(CHECKSUM_OFFSET, true) !== crc32(frame, CHECKSUM_OFFSET)) {
    throw new JanusError(
      'Exchange frame has a header that does not fit its checksum: it was damaged on its way.',
    );
  }
  const attention = readAscii(frame, ATTENTION_OFFSET, ATTENTION_ID_LIMIT);
  checkAttentionId(attention);
  return {
    kind: view.getUint16(4, true) as FrameKind,
    sequence: view.getUint32(8, true),
    layer: view.getUint16(12, true),
    attempt: view.getUint16(14, true),
    placementVersion: view.getUint16(6, true) * 2 ** 32 + view.getUint32(16, true),
    rows: view.getUint32(20, true),
    hiddenSize: view.getUint32(24, true),
    expertsPerToken: view.getUint32(28, true),
    attention,
    combineUs: view.getFloat32(COMBINE_TIME_OFFSET, true),
    only: view.getInt32(ONLY_OFFSET, true),
    gather: view.getUint32(GATHER_OFFSET, true),
    hostIndex: view.getUint32(HOST_OFFSET, true),
    aMax: view.getUint32(A_MAX_OFFSET, true),
  };
}

/** @throws JanusError when `frame` with this header does not fit a receiver of this shape */
export function checkHeader(frame: Uint8Array, header: FrameHeader, shape: LayerStepShape): void {
  if (header.hiddenSize !== shape.hiddenSize || header.expertsPerToken !== shape.expertsPerToken) {
    throw new JanusError(
      `Exchange frame is for hidden size ${header.hiddenSize} and top-${header.expertsPerToken}, this host serves ` +
        `${shape.hiddenSize} and top-${shape.expertsPerToken}: both hosts must load the same model.`,
    );
  }
  if (header.kind === FrameKind.dispatch) checkLength(frame, header, shape, dispatchBytes);
  // Activations without a routing and an answer have the same body.
  else if (header.kind === FrameKind.answer || header.kind === FrameKind.activations) {
    checkLength(frame, header, shape, answerBytes);
  } else if (header.kind > FrameKind.activations || header.kind < FrameKind.dispatch) {
    throw new JanusError(
      `Exchange frame has unknown kind ${header.kind}: both hosts must run the same version of Janus.`,
    );
  } else if (frame.byteLength > FRAME_HEADER_BYTES + FRAME_TEXT_LIMIT_BYTES) {
    throw new JanusError(
      `Exchange frame has a text of ${frame.byteLength - FRAME_HEADER_BYTES} bytes, over the limit of ` +
        `${FRAME_TEXT_LIMIT_BYTES}.`,
    );
  }
}

function checkLength(
  frame: Uint8Array,
  { rows }: FrameHeader,
  shape: LayerStepShape,
  bytes: typeof answerBytes,
): void {
  // Before anything is computed from a number of rows that may be any 32-bit number.
  if (rows > shape.maxRows) {
    throw new JanusError(
      `Exchange frame of ${rows} rows is over the limit of ${shape.maxRows} rows: both hosts must have the same token budget.`,
    );
  }
  const expected = bytes(rows, shape);
  if (frame.byteLength !== expected) {
    throw new JanusError(
      `Exchange frame of ${rows} rows has ${frame.byteLength} bytes, expected ${expected}.`,
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
  if (!step.gated) return;
  frame.set(bytesOf(step.expertIds, pairs), FRAME_HEADER_BYTES + hiddenBytes);
  frame.set(bytesOf(step.gateWeights, pairs), FRAME_HEADER_BYTES + hiddenBytes + pairs * 4);
}

/** What a sender adds to a layer step to send it. */
export interface DispatchOptions {
  readonly attention: string;
  readonly sequence: number;
  readonly attempt: number;
  readonly gather: number;
  readonly only: number;
}

/** Writes the header of a frame that dispatches `step`; its body is written by `writeDispatchBody`. */
export function writeDispatchHeader(
  frame: Uint8Array,
  step: LayerStep,
  shape: LayerStepShape,
  options: DispatchOptions,
): void {
  writeHeader(frame, {
    kind: step.gated ? FrameKind.dispatch : FrameKind.activations,
    layer: step.layer,
    placementVersion: step.placementVersion,
    rows: step.rows,
    hiddenSize: shape.hiddenSize,
    expertsPerToken: shape.expertsPerToken,
    ...options,
    combineUs: 0,
    hostIndex: 0,
    aMax: 0,
  });
}

/** Bytes of the frame that dispatches `step`. */
export function stepBytes(step: LayerStep, shape: LayerStepShape): number {
  return step.gated ? dispatchBytes(step.rows, shape) : answerBytes(step.rows, shape);
}

/** Copies the body of a dispatch frame into the arrays of `step`, whose `rows` and `gated` must be set from the header before. */
export function readDispatchBody(frame: Uint8Array, step: LayerStep, shape: LayerStepShape): void {
  const hiddenEnd = FRAME_HEADER_BYTES + step.rows * shape.hiddenSize * 4;
  const pairs = step.rows * shape.expertsPerToken;
  bytesOf(step.hidden, step.rows * shape.hiddenSize).set(frame.subarray(FRAME_HEADER_BYTES, hiddenEnd));
  if (!step.gated) return;
  bytesOf(step.expertIds, pairs).set(frame.subarray(hiddenEnd, hiddenEnd + pairs * 4));
  bytesOf(step.gateWeights, pairs).set(frame.subarray(hiddenEnd + pairs * 4, hiddenEnd + pairs * 8));
}

/** Body of a frame that carries a text: UTF-8, cut at `FRAME_TEXT_LIMIT_BYTES`. */
export function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text).subarray(0, FRAME_TEXT_LIMIT_BYTES);
}

/** Text behind the header of a `stale`, `failed` or `lost` frame. */
export function readText(frame: Uint8Array): string {
  return new TextDecoder().decode(frame.subarray(FRAME_HEADER_BYTES));
}
