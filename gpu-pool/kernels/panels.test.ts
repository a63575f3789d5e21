import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packPanels, panelBytes, unpackPanels } from './panels.ts';
import { quantisedMatrix } from './testing/quantised-matrix.ts';

const format = { bits: 8, blockSize: 32, zeroPoints: false, perRow: true } as const;

test('gives back what was packed, whatever fills neither panels nor steps nor blocks', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_100 }), fc.integer({ min: 1, max: 70 }), (n, k) => {
      const matrix = quantisedMatrix(n, k, format, n * k);
      const packed = new Uint8Array(panelBytes(n, k) + 8).fill(77);
      packPanels(matrix, packed);
      expect(unpackPanels(packed, n, k, format)).toEqual(matrix);
      expect([...packed.subarray(-8)]).toEqual(new Array(8).fill(77));
    }),
    { numRuns: 30 },
  );
});

test('a part of whole panels is stored as a matrix of its own', () => {
  const [n, k] = [1_100, 12];
  const matrix = quantisedMatrix(n, k, format, 1);
  const whole = new Uint8Array(panelBytes(n, k));
  packPanels(matrix, whole);
  const rest = {
    ...matrix,
    outputSize: n - 512,
    codes: matrix.codes.subarray(512 * 32),
    rowScales: matrix.rowScales.subarray(512),
  };
  const part = new Uint8Array(panelBytes(n - 512, k));
  packPanels(rest, part);
  expect(whole.subarray(panelBytes(512, k))).toEqual(part);
});

test('says how many bytes are missing', () => {
  const matrix = quantisedMatrix(20, 4, format, 1);
  expect(() => packPanels(matrix, new Uint8Array(255))).toThrow(
    /\[20, 4\] matrix takes 256 bytes .* not 255/,
  );
  expect(() => unpackPanels(new Uint8Array(255), 20, 4, format)).toThrow(/256/);
});
