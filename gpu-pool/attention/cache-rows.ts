import type { Kernels } from '../kernels/kernels.ts';
import { storedRowBytes } from '../kernels/sizes.ts';

/** The form in which a KV cache keeps rows of keys, and of values. */
export interface CacheRows {
  /** Numbers of a row as attention computes it: key-value heads × head size. */
  readonly kvWidth: number;
  /** 32-bit words of a kept row. */
  readonly words: number;
  /** Keeps `rows` rows of `source` `[T, kvWidth]` from `sourceRow` on as rows `targetRow` and following of `target` `[capacity, words]`. */
  store(source: Float32Array, sourceRow: number, rows: number, target: Float32Array, targetRow: number): void;
  /** Whether all numbers of the rows `[first, end)` that `kept` has are finite. */
  areFinite(kept: Float32Array, first: number, end: number): boolean;
}

/** Rows as they are, in f32: an input of the attention graph. */
export function plainRows(kvWidth: number): CacheRows {
  return {
    kvWidth,
    words: kvWidth,
    store(source, sourceRow, rows, target, targetRow) {
      const from = sourceRow * kvWidth;
      const to = targetRow * kvWidth;
      // A loop, because set() would need a view of the source per call.
      for (let i = 0; i < rows * kvWidth; i++) target[to + i] = source[from + i];
    },
    areFinite: (kept, first, end) => areFinite(kept, first * kvWidth, end * kvWidth),
  };
}

/**
 * Rows as the kernels read them: 16-bit whole numbers, each head's in units of a scale of its own, which take half the memory. They are
 * within 1 / 65,534 of the head's largest number, more exact than f16 but for the smallest numbers of a head.
 *
 * @param kernels bound to the memory in which sources and targets lie
 */
export function kernelRows(kernels: Kernels, keyValueHeads: number, headSize: number): CacheRows {
  const words = storedRowBytes(keyValueHeads, headSize) / 4;
  const kvWidth = keyValueHeads * headSize;
  return {
    kvWidth,
    words,
    store(source, sourceRow, rows, target, targetRow) {
      const from = source.byteOffset + 4 * sourceRow * kvWidth;
      const to = target.byteOffset + 4 * targetRow * words;
      kernels.storeRows(from, rows, keyValueHeads, headSize, to);
    },
    // A number that is not finite shows in the scale of its head; codes are whatever bits they are.
    areFinite(kept, first, end) {
      for (let row = first; row < end; row++) {
        if (!areFinite(kept, row * words, row * words + keyValueHeads)) return false;
      }
      return true;
    },
  };
}

function areFinite(numbers: Float32Array, begin: number, end: number): boolean {
  let sum = 0;
  // 0 · x is 0 for every finite x, and NaN else.
  for (let i = begin; i < end; i++) sum += 0 * numbers[i]!;
  return sum === 0;
}
