/** Logits whose weights `weigh` sums together. */
export const WEIGH_BLOCK = 128;

/** Bytes that `quantizeRows` fills. */
export function quantizedBytes(rows: number, inputSize: number, blockSize: number): number {
  return rows * ((Math.ceil(inputSize / blockSize) * blockSize * 144) / 32 + 16);
}

/** Bytes of the panel that `linearWoven` needs. */
export function wovenBytes(inputSize: number, blockSize: number): number {
  return Math.ceil((Math.ceil(inputSize / blockSize) * blockSize) / 64) * 1_152 + 64;
}

/** Positions of a segment of `attendSegments`. */
export const ATTENTION_SEGMENT = 512;
/** Queries that `attend` computes together where several rows share what is read. */
const TILE_QUERIES = 32;
const LINE_BYTES = 64;

const lines = (bytes: number) => Math.ceil(bytes / LINE_BYTES);

/** Bytes of scratch memory that `attend` needs, for any of the heads: assembly/attention/tile.ts. */
export function attentionScratchBytes(heads: number, kvHeads: number, headSize: number): number {
  const pairs = Math.max(kvHeads * Math.ceil(heads / kvHeads / 2), TILE_QUERIES / 2);
  const header = 3 * LINE_BYTES + 4 * 64 + Math.max(16_384, 32 * headSize);
  const scoreBytes = 2 * pairs * LINE_BYTES * (lines(4 * ATTENTION_SEGMENT) | 1);
  const queries = 8 * pairs * headSize;
  return header + queries + 2 * partBytes(pairs, headSize) + 2 * listBytes(pairs) + scoreBytes;
}

/** Bytes of what `attendSegments` writes for each segment. */
export function attentionPartBytes(heads: number, kvHeads: number, headSize: number): number {
  return partBytes(kvHeads * Math.ceil(heads / kvHeads / 2), headSize);
}

function partBytes(pairs: number, headSize: number): number {
  return 2 * listBytes(pairs) + 8 * pairs * headSize;
}

const listBytes = (pairs: number) => LINE_BYTES * lines(8 * pairs);

/** Bytes of a row of keys, or of values, as `storeRows` writes it: scales, then codes. */
export function storedRowBytes(kvHeads: number, headSize: number): number {
  return 4 * 4 * Math.ceil(kvHeads / 4) + 2 * kvHeads * headSize;
}
