import { expect, test } from 'vitest';
import { BYTE_ZERO, ByteProduct } from './byte-product.ts';

test('is the exact product, where it opens at all', (context) => {
  const product = ByteProduct.open();
  if (product === null) return context.skip('this processor adds pairs of products in 16 bits');
  const [rows, inner, columns] = [37, 300, 70];
  const left = Uint8Array.from({ length: rows * inner }, (_, i) => (i * 7_919) % 256);
  const right = Int8Array.from({ length: inner * columns }, (_, i) => ((i * 104_729) % 256) - 128);
  const sums = new Int32Array(rows * columns);
  product.run(left, rows, right, columns, sums);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      let sum = 0;
      for (let i = 0; i < inner; i += 1) {
        sum += (left[row * inner + i]! - BYTE_ZERO) * right[i * columns + column]!;
      }
      expect(sums[row * columns + column]).toBe(sum);
    }
  }
  product.release();
});
