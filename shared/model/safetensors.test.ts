import { describe, expect, it } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { MAX_HEADER_BYTES, parseHeaderLength, parseSafetensorsHeader } from './safetensors.ts';

const prefix = (length: bigint): Uint8Array => new Uint8Array(new BigUint64Array([length]).buffer);

/** Parses a header of which the data has `dataBytes` bytes. */
function parse(header: unknown, dataBytes: number): ReturnType<typeof parseSafetensorsHeader> {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const bytes = new TextEncoder().encode(text);
  return parseSafetensorsHeader(bytes, 8 + bytes.length + dataBytes, 'm.safetensors');
}

const tensor = (dtype: string, shape: number[], begin: number, end: number): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe('parseHeaderLength', () => {
  it('reads the length from the first 8 bytes', () => {
    expect(parseHeaderLength(prefix(12n), 20, 'm.safetensors')).toBe(12);
  });

  it.each([
    ['a file without a length', new Uint8Array(3), 3, /m\.safetensors .* it has 3 bytes/],
    ['a header beyond the end of the file', prefix(13n), 20, /claims 13 bytes, and the whole file has 20/],
    ['a header of 2^60 bytes', prefix(2n ** 60n), 2 ** 50, /claims 1152921504606846976 bytes, and at most/],
    ['a header over the limit', prefix(BigInt(MAX_HEADER_BYTES) + 1n), 2 ** 40, /at most 100000000/],
    ['a Git LFS pointer', new TextEncoder().encode('version '), 134, /run `git lfs pull`/],
  ])('refuses %s', (_, bytes, fileSize, message) => {
    const parsed = (): number => parseHeaderLength(bytes, fileSize, 'm.safetensors');
    expect(parsed).toThrow(JanusError);
    expect(parsed).toThrow(message);
  });
});

describe('parseSafetensorsHeader', () => {
  it('tells where each tensor lies in the file, in any order of the header', () => {
    const header = {
      __metadata__: { format: 'pt' },
      b: tensor('F32', [2], 6, 14),
      a: tensor('BF16', [3, 1], 0, 6),
      scalar: tensor('F32', [], 14, 18),
      empty: tensor('F32', [0, 4], 14, 14),
    };
    const dataBegin = 8 + JSON.stringify(header).length;
    expect(parse(header, 18)).toEqual(
      new Map([
        ['b', { dtype: 'F32', shape: [2], begin: dataBegin + 6, end: dataBegin + 14 }],
        ['a', { dtype: 'BF16', shape: [3, 1], begin: dataBegin, end: dataBegin + 6 }],
        ['scalar', { dtype: 'F32', shape: [], begin: dataBegin + 14, end: dataBegin + 18 }],
        ['empty', { dtype: 'F32', shape: [0, 4], begin: dataBegin + 14, end: dataBegin + 14 }],
      ]),
    );
  });

  it('lets number formats pass that it does not know, for nobody may need them', () => {
    expect(parse({ a: tensor('F4', [3], 0, 2) }, 2).get('a')?.dtype).toBe('F4');
  });

  it.each([
    ['broken JSON', '{"a": ', 0, /header is not valid JSON/],
    ['a header that is an array', '[1]', 0, /header must be a JSON object/],
    [
      'an entry without offsets',
      { a: { dtype: 'F32', shape: [1] } },
      4,
      /tensor a must have dtype, shape and/,
    ],
    ['a negative size', { a: tensor('F32', [-1], 0, 4) }, 4, /tensor a must have/],
    ['a fractional offset', { a: tensor('F32', [1], 0.5, 4.5) }, 4, /tensor a must have/],
    ['an end before the beginning', { a: tensor('F32', [1], 4, 0) }, 4, /tensor a ends before it begins/],
    [
      'too few bytes for the shape',
      { a: tensor('F32', [2], 0, 4) },
      4,
      /tensor a has 4 bytes, and shape \[2\] of F32 takes 8/,
    ],
    [
      'a shape beyond all numbers',
      { a: tensor('F32', Array(30).fill(2 ** 52), 0, 4) },
      4,
      /tensor a has 4 bytes/,
    ],
    [
      'overlapping tensors',
      { a: tensor('F32', [2], 0, 8), b: tensor('F32', [1], 4, 8) },
      8,
      /tensor b overlaps/,
    ],
    [
      'a gap',
      { a: tensor('F32', [1], 0, 4), b: tensor('F32', [1], 8, 12) },
      12,
      /gap of bytes before tensor b/,
    ],
    ['a file that is cut off', { a: tensor('F32', [2], 0, 8) }, 7, /tensor a ends at byte .* cut off/],
    ['bytes after the last tensor', { a: tensor('F32', [1], 0, 4) }, 5, /its tensors end at byte/],
  ])('refuses %s', (_, header, dataBytes, message) => {
    const parsed = (): unknown => parse(header, dataBytes);
    expect(parsed).toThrow(JanusError);
    expect(parsed).toThrow(/^m\.safetensors is not a whole safetensors file/);
    expect(parsed).toThrow(message);
  });

  it('refuses a header that is not UTF-8', () => {
    const bytes = Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d);
    expect(() => parseSafetensorsHeader(bytes, 15, 'm.safetensors')).toThrow(/not valid JSON/);
  });
});
