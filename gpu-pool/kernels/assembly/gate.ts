/* What stands between the halves of an expert. */
import { one, silu } from './simd';

/** Floats that are computed together: V8 joins them to vectors of 256 bits, see wide-vectors.ts. */
const STEP_BYTES: u32 = 32;

/**
 * `values[i] *= silu(gates[i])`
 * @param count a multiple of 8
 */
export function gate(gates: usize, values: usize, count: u32): void {
  const unit = <f32>one();
  const end = values + 4 * count;
  for (; values < end; values += STEP_BYTES) {
    const first = f32x4.mul(silu(v128.load(gates), unit), v128.load(values));
    const second = f32x4.mul(silu(v128.load(gates, 16), unit), v128.load(values, 16));
    v128.store(values, first);
    v128.store(values, second, 16);
    gates += STEP_BYTES;
  }
}
