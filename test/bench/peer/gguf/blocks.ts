/** Weights that share a scale, in both formats of llama.cpp. */
export const BLOCK_WEIGHTS = 32;

/** How llama.cpp stores the numbers of a tensor. */
export interface TensorFormat {
  /** Number of the format in GGUF (`ggml_type`). */
  readonly code: number;
  /** Bytes of one row, or several, of together `count` weights. */
  readonly byteLength: (count: number) => number;
  /** Writes `weights`, whole rows of whole blocks, to `target`. */
  readonly encode: (weights: Float32Array, target: Uint8Array<ArrayBuffer>) => void;
}

export const F32: TensorFormat = {
  code: 0,
  byteLength: (count) => count * 4,
  encode: (weights, target) =>
    target.set(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)),
};

export const F16: TensorFormat = {
  code: 1,
  byteLength: (count) => count * 2,
  encode: (weights, target) =>
    new Float16Array(target.buffer, target.byteOffset, weights.length).set(weights),
};

const Q8_0_BYTES = 34;
const Q4_0_BYTES = 18;

/**
 * An f16 scale, then 32 signed bytes: weight = scale · code.
 *
 * Source: `quantize_row_q8_0_ref` of llama.cpp (ggml-quants.c).
 */
export const Q8_0: TensorFormat = {
  code: 8,
  byteLength: (count) => (count / BLOCK_WEIGHTS) * Q8_0_BYTES,
  encode(weights, target) {
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
    for (let first = 0, at = 0; first < weights.length; first += BLOCK_WEIGHTS, at += Q8_0_BYTES) {
      let largest = 0;
      for (let i = first; i < first + BLOCK_WEIGHTS; i++) largest = Math.max(largest, Math.abs(weights[i]!));
      const scale = Math.fround(largest / 127);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      view.setFloat16(at, scale, true);
      for (let i = 0; i < BLOCK_WEIGHTS; i++) {
        view.setInt8(at + 2 + i, roundAway(Math.fround(weights[first + i]! * inverse)));
      }
    }
  },
};

/**
 * An f16 scale, then 16 bytes of two codes each: weight = scale · (code − 8). The weight of largest magnitude gets code 0.
 * The low halves are the first 16 weights, the high ones the others.
 *
 * Source: `quantize_row_q4_0_ref` of llama.cpp (ggml-quants.c).
 */
export const Q4_0: TensorFormat = {
  code: 2,
  byteLength: (count) => (count / BLOCK_WEIGHTS) * Q4_0_BYTES,
  encode(weights, target) {
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
    const half = BLOCK_WEIGHTS / 2;
    for (let first = 0, at = 0; first < weights.length; first += BLOCK_WEIGHTS, at += Q4_0_BYTES) {
      let largest = 0;
      for (let i = first; i < first + BLOCK_WEIGHTS; i++) {
        if (Math.abs(weights[i]!) > Math.abs(largest)) largest = weights[i]!;
      }
      const scale = Math.fround(largest / -8);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      view.setFloat16(at, scale, true);
      for (let i = 0; i < half; i++) {
        const low = fourBitCode(weights[first + i]!, inverse);
        const high = fourBitCode(weights[first + half + i]!, inverse);
        view.setUint8(at + 2 + i, low | (high << 4));
      }
    }
  },
};

/** `roundf` of C: halves go away from zero. */
const roundAway = (value: number): number => Math.sign(value) * Math.round(Math.abs(value));

const fourBitCode = (weight: number, inverse: number): number =>
  Math.min(15, Math.trunc(Math.fround(Math.fround(weight * inverse) + 8.5)));
