import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../shared/model/config.ts';
import { modelTensors } from '../../shared/model/tensors.ts';
import type { WeightSource } from './weights.ts';

/** The embedding table `[V, H]`, as bf16 where it is stored so. */
export class EmbeddingRows {
  readonly #vocabularySize: number;
  readonly #hiddenSize: number;
  readonly #bfloat16: Uint16Array | undefined;
  readonly #float32: Float32Array | undefined;

  /** @throws JanusError if the tensor is missing or has the wrong shape */
  constructor({ vocabularySize, hiddenSize, ...config }: ModelConfig, weights: WeightSource) {
    const { name, shape } = modelTensors({ vocabularySize, hiddenSize, ...config }).embedding;
    this.#vocabularySize = vocabularySize;
    this.#hiddenSize = hiddenSize;
    const bytes = weights.bfloat16?.(name, shape);
    if (bytes === undefined) this.#float32 = weights.float32(name, shape);
    else this.#bfloat16 = halves(bytes);
  }

  /**
   * @param tokenIds `[T]`
   * @param target `[T, H]`, written
   * @throws JanusError if a token lies outside the table
   */
  gather(tokenIds: Int32Array, rows: number, target: Float32Array): void {
    const size = this.#hiddenSize;
    const bits = new Uint32Array(target.buffer, target.byteOffset, rows * size);
    for (let row = 0; row < rows; row++) {
      const id = tokenIds[row]!;
      if (id < 0 || id >= this.#vocabularySize) {
        throw new JanusError(`token id ${id} is outside the model's vocabulary of ${this.#vocabularySize}`);
      }
      const from = id * size;
      if (this.#float32) target.set(this.#float32.subarray(from, from + size), row * size);
      else for (let i = 0; i < size; i++) bits[row * size + i] = this.#bfloat16![from + i]! << 16;
    }
  }
}

/** A view of the bytes, or of a copy where they lie at an odd offset. */
function halves(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}
