/** Logits whose weights `weigh` sums together. */
export const WEIGH_BLOCK = 128;

/** Bytes that `quantizeRows` fills. */
export function quantizedBytes(rows: number, inputSize: number, blockSize: number): number {
  return rows * ((Math.ceil(inputSize / blockSize) * blockSize * 144) / 32 + 16);
}

/** Bytes of scratch memory that `attend` needs for `kvHeads` key-value heads over a cache of `length` positions. */
export function attentionScratchBytes(
  length: number,
  heads: number,
  kvHeads: number,
  headSize: number,
): number {
  return kvHeads * Math.ceil(heads / kvHeads / 4) * (32 * headSize + 16 + 16 * length) + 16;
}

/** Bytes of a row of keys, or of values, as `storeRows` writes it: scales, then codes. */
export function storedRowBytes(kvHeads: number, headSize: number): number {
  return 4 * 4 * Math.ceil(kvHeads / 4) + 2 * kvHeads * headSize;
}
