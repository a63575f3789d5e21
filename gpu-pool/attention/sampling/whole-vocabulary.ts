import { KernelMemory } from '../../kernels/kernel-memory.ts';
import { kernelsRun } from '../../kernels/kernel-support.ts';
import type { Kernels } from '../../kernels/kernels.ts';
import { loadKernels } from '../../kernels/load-kernels.ts';
import { WEIGH_BLOCK } from '../../kernels/sizes.ts';

const SMALLEST_TEMPERATURE = 1e-30;

/**
 * Takes the best token of a whole vocabulary, or draws from it as a request without top-k, top-p and min-p wants it: the usual
 * ones. In vectors that takes a tenth of the time; the sums of blocks of weights lead to the token without a pass over all of them.
 */
export class WholeVocabulary {
  readonly #kernels: Kernels;
  readonly #vocabularySize: number;
  /** V, padded to whole blocks. */
  readonly #padded: number;
  readonly #at: { readonly logits: number; readonly weights: number; readonly sums: number };
  readonly #logits: Float32Array;
  readonly #weights: Float32Array;
  readonly #sums: Float32Array;

  private constructor(vocabularySize: number) {
    const blocks = Math.ceil(vocabularySize / WEIGH_BLOCK);
    const memory = new KernelMemory();
    this.#kernels = loadKernels(memory.memory);
    this.#vocabularySize = vocabularySize;
    this.#padded = blocks * WEIGH_BLOCK;
    const logits = memory.allocate(4 * this.#padded);
    const weights = memory.allocate(4 * this.#padded);
    const sums = memory.allocate(4 * blocks);
    this.#at = { logits, weights, sums };
    this.#logits = memory.floats(logits, this.#padded).fill(Number.NEGATIVE_INFINITY);
    this.#weights = memory.floats(weights, this.#padded);
    this.#sums = memory.floats(sums, blocks);
  }

  /** @returns null where the kernels cannot run */
  static open(vocabularySize: number): WholeVocabulary | null {
    return kernelsRun() ? new WholeVocabulary(vocabularySize) : null;
  }

  /**
   * @param logits `[V]`
   * @returns the id of the largest, the lowest one among equals, or -1 where they have no finite maximum
   */
  best(logits: Float32Array): number {
    this.#logits.set(logits);
    return this.#kernels.indexOfLargest(this.#at.logits, this.#padded);
  }

  /**
   * @param logits `[V]`
   * @param random in [0, 1)
   * @returns the id drawn, or -1 where the logits have no finite maximum
   */
  draw(logits: Float32Array, temperature: number, random: number): number {
    const { logits: at, weights, sums } = this.#at;
    const best = this.best(logits);
    if (best < 0) return -1;
    // The kernel takes it as f32, in which a smaller one would be 0.
    const positive = Math.max(temperature, SMALLEST_TEMPERATURE);
    this.#kernels.weigh(at, this.#padded, logits[best]!, positive, weights, sums);
    let mass = 0;
    for (let block = 0; block < this.#sums.length; block++) mass += this.#sums[block]!;
    return this.#find(random * mass);
  }

  /** Inverse transform sampling: the first id up to which the weights sum to more than `target`. */
  #find(target: number): number {
    const sums = this.#sums;
    let cumulative = 0;
    let block = 0;
    for (; block < sums.length - 1 && cumulative + sums[block]! <= target; block++)
      cumulative += sums[block]!;
    const end = Math.min((block + 1) * WEIGH_BLOCK, this.#vocabularySize);
    let last = -1;
    for (let id = block * WEIGH_BLOCK; id < end; id++) {
      const weight = this.#weights[id]!;
      if (weight === 0) continue;
      last = id;
      cumulative += weight;
      if (cumulative > target) return id;
    }
    // Rounding put the target behind the last weight of its block.
    return last >= 0 ? last : this.#lastWithWeight(block);
  }

  #lastWithWeight(block: number): number {
    let id = block * WEIGH_BLOCK - 1;
    while (id > 0 && this.#weights[id] === 0) id--;
    return id;
  }
}
