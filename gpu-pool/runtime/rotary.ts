import { JanusError } from '../../shared/errors/janus-error.ts';

/**
 * Cosines and sines of rotary position embedding (RoPE, arXiv 2104.09864) for every position of the context, computed
 * once and copied per step, so that no layer's graph holds a table of its own.
 */
export class RotaryTable {
  readonly #half: number;
  readonly #positions: number;
  readonly #cos: Float32Array;
  readonly #sin: Float32Array;

  /** @param theta base of the frequencies; pair i of `headSize / 2` turns by position · theta^(−2i / headSize). */
  constructor(positions: number, headSize: number, theta: number) {
    this.#half = headSize / 2;
    this.#positions = positions;
    this.#cos = new Float32Array(positions * this.#half);
    this.#sin = new Float32Array(positions * this.#half);
    for (let pair = 0; pair < this.#half; pair += 1) {
      // Rounded to f32 step by step like the reference implementation, whose far positions differ visibly from f64's.
      const frequency = Math.fround(1 / Math.fround(theta ** ((2 * pair) / headSize)));
      for (let position = 0; position < positions; position += 1) {
        const angle = Math.fround(frequency * position);
        this.#cos[position * this.#half + pair] = Math.cos(angle);
        this.#sin[position * this.#half + pair] = Math.sin(angle);
      }
    }
  }

  /**
   * Writes rows `[rows, headSize / 2]` for `positions`.
   * @throws JanusError if a position lies outside the context.
   */
  fill(positions: Int32Array, rows: number, cos: Float32Array, sin: Float32Array): void {
    const half = this.#half;
    for (let row = 0; row < rows; row += 1) {
      const position = positions[row]!;
      if (position < 0 || position >= this.#positions) {
        throw new JanusError(
          `position ${position} is outside the model's context of ${this.#positions} tokens`,
        );
      }
      for (let pair = 0; pair < half; pair += 1) {
        cos[row * half + pair] = this.#cos[position * half + pair]!;
        sin[row * half + pair] = this.#sin[position * half + pair]!;
      }
    }
  }
}
