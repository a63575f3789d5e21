import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ALL_INSTANCES,
  ATTENTION_ID_LIMIT,
  answerBytes,
  bytesOf,
  checkAttentionId,
  dispatchBytes,
  encodeText,
  FRAME_HEADER_BYTES,
  FRAME_TEXT_LIMIT_BYTES,
  type FrameHeader,
  FrameKind,
  parseHeader,
  readDispatchBody,
  readHeader,
  readText,
  writeDispatchBody,
  writeHeader,
} from './frame.ts';
import type { LayerStep, LayerStepShape } from './layer-step.ts';

const shape: LayerStepShape = { maxRows: 9, hiddenSize: 6, expertsPerToken: 3 };

const u16 = fc.nat(0xffff);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const headers = fc.record<FrameHeader>({
  kind: fc.constant(FrameKind.dispatch),
  sequence: u32,
  layer: u16,
  attempt: u16,
  placementVersion: u48,
  rows: fc.nat(shape.maxRows),
  hiddenSize: fc.constant(shape.hiddenSize),
  expertsPerToken: fc.constant(shape.expertsPerToken),
  attention: fc.stringMatching(/^[!-~]{1,24}$/),
  combineUs: fc.float({ noNaN: true, min: 0 }),
  only: fc.integer({ min: -1, max: 0x7fff_ffff }),
  gather: u32,
  hostIndex: u32,
  aMax: u32,
});

const header: FrameHeader = {
  kind: FrameKind.dispatch,
  sequence: 1,
  layer: 2,
  attempt: 0,
  placementVersion: 3,
  rows: 2,
  hiddenSize: shape.hiddenSize,
  expertsPerToken: shape.expertsPerToken,
  attention: 'host-0',
  combineUs: 0,
  only: ALL_INSTANCES,
  gather: 0,
  hostIndex: 0,
  aMax: 0,
};

describe('a layer step', () => {
  test('comes out of its frame bit for bit, wherever the frame lies in memory', () => {
    const offsets = fc.nat(7);
    fc.assert(
      fc.property(headers, offsets, fc.infiniteStream(u32), (header, offset, bits) => {
        const sent = emptyStep(header.rows);
        for (const array of [sent.hidden, sent.expertIds, sent.gateWeights]) {
          const words = new Uint32Array(array.buffer);
          for (let i = 0; i < words.length; i++) words[i] = bits.next().value;
        }
        const bytes = dispatchBytes(header.rows, shape);
        const frame = new Uint8Array(new ArrayBuffer(bytes + offset), offset);
        writeHeader(frame, header);
        writeDispatchBody(frame, sent, shape);

        expect(readHeader(frame, shape)).toEqual(header);
        const received = emptyStep(header.rows);
        readDispatchBody(frame, received, shape);
        const floats = header.rows * shape.hiddenSize;
        const pairs = header.rows * shape.expertsPerToken;
        expect(bytesOf(received.hidden, floats)).toEqual(bytesOf(sent.hidden, floats));
        expect(bytesOf(received.expertIds, pairs)).toEqual(bytesOf(sent.expertIds, pairs));
        expect(bytesOf(received.gateWeights, pairs)).toEqual(bytesOf(sent.gateWeights, pairs));
        // What lies behind the rows of this step is not touched.
        expect(new Uint32Array(received.hidden.buffer).subarray(floats)).toEqual(
          new Uint32Array(shape.maxRows * shape.hiddenSize - floats),
        );
      }),
    );
  });

  test('may have no rows', () => {
    const frame = frameOf({ ...header, rows: 0 }, dispatchBytes(0, shape));
    expect(readHeader(frame, shape).rows).toBe(0);
  });
});

/** One bit of the header is not what it was. */
function damaged(frame: Uint8Array): Uint8Array {
  frame[21]! ^= 4;
  return frame;
}

describe('a frame is refused when it', () => {
  const dispatch = dispatchBytes(2, shape);
  test.each<[string, Uint8Array, RegExp]>([
    ['is empty', new Uint8Array(0), /0 bytes is shorter than its 80-byte header/],
    ['is shorter than a header', frameOf(header, FRAME_HEADER_BYTES).subarray(0, 63), /63 bytes/],
    ['is of another protocol', new Uint8Array(dispatch).fill(0x2a), /unknown magic number/],
    ['does not say who sent it', frameOf({ ...header, attention: '' }, dispatch), /id "" must be/],
    [
      'names its sender in control characters',
      frameOf({ ...header, attention: 'a\u0007b' }, dispatch),
      /id /,
    ],
    ['has a kind from the future', frameOf({ ...header, kind: 7 as FrameKind }, dispatch), /unknown kind 7/],
    ['was damaged on its way', damaged(frameOf(header, dispatch)), /checksum/],
    ['has kind 0', frameOf({ ...header, kind: 0 as FrameKind }, dispatch), /unknown kind 0/],
    ['is of another hidden size', frameOf({ ...header, hiddenSize: 7 }, dispatch), /hidden size 7/],
    ['takes other experts per token', frameOf({ ...header, expertsPerToken: 2 }, dispatch), /top-2/],
    ['has one row too many', frameOf({ ...header, rows: 10 }, dispatchBytes(10, shape)), /limit of 9 rows/],
    ['claims 2^32 - 1 rows', frameOf({ ...header, rows: 0xffff_ffff }, dispatch), /limit of 9 rows/],
    ['is a byte short', frameOf(header, dispatch - 1), /2 rows has \d+ bytes, expected/],
    ['is a byte long', frameOf(header, dispatch + 1), /2 rows has \d+ bytes, expected/],
    ['is a dispatch as short as an answer', frameOf(header, answerBytes(2, shape)), /expected/],
    [
      'is an answer as long as a dispatch',
      frameOf({ ...header, kind: FrameKind.answer }, dispatch),
      /expected/,
    ],
    [
      'has an endless text',
      frameOf({ ...header, kind: FrameKind.failed }, FRAME_HEADER_BYTES + FRAME_TEXT_LIMIT_BYTES + 1),
      /text of 1025 bytes, over the limit of 1024/,
    ],
  ])('%s', (_, frame, message) => {
    expect(() => readHeader(frame, shape)).toThrow(message);
  });
});

test('what does not fit the receiver still tells who sent it', () => {
  const frame = frameOf({ ...header, hiddenSize: 4_096 }, 80);
  expect(parseHeader(frame)).toMatchObject({ attention: 'host-0', sequence: 1, hiddenSize: 4_096 });
});

test('a text comes out of its frame as it went in, cut at the limit', () => {
  for (const text of ['', 'expert 3 is out of order – für heute']) {
    const body = encodeText(text);
    const frame = frameOf({ ...header, kind: FrameKind.failed }, FRAME_HEADER_BYTES + body.byteLength);
    frame.set(body, FRAME_HEADER_BYTES);
    expect(readHeader(frame, shape).kind).toBe(FrameKind.failed);
    expect(readText(frame)).toBe(text);
  }
  expect(encodeText('x'.repeat(5_000)).byteLength).toBe(FRAME_TEXT_LIMIT_BYTES);
});

test('an id that would be cut in the frame is refused before it is used', () => {
  expect(() => checkAttentionId('a'.repeat(ATTENTION_ID_LIMIT))).not.toThrow();
  for (const id of ['', 'a'.repeat(ATTENTION_ID_LIMIT + 1), 'wärme', 'two words']) {
    expect(() => checkAttentionId(id)).toThrow(JSON.stringify(id));
  }
});

function frameOf(header: FrameHeader, bytes: number): Uint8Array {
  const frame = new Uint8Array(bytes);
  writeHeader(frame, header);
  return frame;
}

function emptyStep(rows: number): LayerStep {
  const pairs = shape.maxRows * shape.expertsPerToken;
  return {
    layer: 0,
    gated: true,
    only: ALL_INSTANCES,
    placementVersion: 0,
    rows,
    hidden: new Float32Array(shape.maxRows * shape.hiddenSize),
    expertIds: new Int32Array(pairs),
    gateWeights: new Float32Array(pairs),
  };
}
