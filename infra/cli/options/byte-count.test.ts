import { describe, expect, it } from 'vitest';
import { byteCount, formatBytes } from './byte-count.ts';

describe('byteCount', () => {
  const parse = byteCount('--max-move-bytes');

  it.each([
    ['0', 0],
    ['1500', 1_500],
    ['3K', 3_072],
    ['500M', 524_288_000],
    ['2G', 2_147_483_648],
  ])('reads %s', (text, bytes) => {
    expect(parse(text)).toBe(bytes);
  });

  it.each(['', '-1', '1.5G', '2GB', 'M'])('refuses %j and names the flag', (text) => {
    expect(() => parse(text)).toThrow(/--max-move-bytes is .*500M or 2G/);
  });
});

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_536, '1.5 KiB'],
    [524_288_000, '500.0 MiB'],
    [2 ** 41, '2.0 TiB'],
  ])('shows %i as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});
