import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { SamplingSettings } from '../../../shared/protocol/request.ts';
import { type AllowedTokens, copyAllowed } from './allowed-tokens.ts';
import { exponential } from './exponential.ts';
import { uniform } from './random.ts';
import { argmax, keepNucleus, selectLargest } from './selection.ts';
import { WholeVocabulary } from './whole-vocabulary.ts';

/** Working memory for sampling, 28 bytes per vocabulary entry. One serves all samplers of an attention instance. */
export class SamplingScratch {
  readonly vocabularySize: number;
  /** `[V]` logits after what is not allowed, bias and penalties. */
  readonly adjusted: Float32Array;
  /** `[V]` unnormalised probabilities; valid at the candidates only. */
  readonly weights: Float64Array;
  /** `[V]` token ids that may still be drawn. */
  readonly candidates: Int32Array;
  /** `[V]` token ids, for selection. */
  readonly work: Int32Array;
  /** For the best token, and for requests that exclude none; null where this machine cannot. */
  readonly whole: WholeVocabulary | null;

  constructor(vocabularySize: number) {
    this.vocabularySize = vocabularySize;
    this.adjusted = new Float32Array(vocabularySize);
    this.weights = new Float64Array(vocabularySize);
    this.candidates = new Int32Array(vocabularySize);
    this.work = new Int32Array(vocabularySize);
    this.whole = WholeVocabulary.open(vocabularySize);
  }
}

/**
 * Picks the tokens of one sequence. The steps and their order are vLLM's: tokens that are not allowed, logit bias,
 * penalties, greedy if the temperature is 0, temperature, min-p, top-k, top-p, draw.
 *
 * `sample` changes nothing, neither the sampler nor the logits: a step that is redone picks the same token again. What
 * became part of the answer is told with `observe`, which is also how a sequence is resumed after a failover.
 *
 * State: one map entry per distinct token of the sequence, and only where a penalty needs it.
 */
export class Sampler {
  readonly #settings: SamplingSettings;
  readonly #scratch: SamplingScratch;
  /** True where neither top-k, top-p nor min-p excludes a token. */
  readonly #drawsFromAll: boolean;
  /** True where bias or penalties change logits, whatever is allowed. */
  readonly #adjusts: boolean;
  readonly #hasPenalty: boolean;
  /** Token id → times it occurs in the answer, 0 for tokens of the prompt only. */
  readonly #answerCounts = new Map<number, number>();

  /**
   * @param promptIds read for the repetition penalty, and not kept
   * @throws JanusError if a biased token or a token of the prompt is not in the vocabulary
   */
  constructor(settings: SamplingSettings, promptIds: ArrayLike<number>, scratch: SamplingScratch) {
    this.#settings = settings;
    this.#scratch = scratch;
    this.#hasPenalty =
      settings.repetitionPenalty !== 1 || settings.presencePenalty !== 0 || settings.frequencyPenalty !== 0;
    const { temperature, topK, topP, minP } = settings;
    this.#drawsFromAll =
      temperature > 0 && (topK <= 0 || topK >= scratch.vocabularySize) && topP >= 1 && minP <= 0;
    this.#adjusts = this.#hasPenalty || settings.logitBias.length > 0;
    for (const [id] of settings.logitBias) this.#checkId('logit_bias', id);
    if (settings.repetitionPenalty === 1) return;
    for (let i = 0; i < promptIds.length; i++) {
      this.#checkId('The prompt', promptIds[i]);
      this.#answerCounts.set(promptIds[i], 0);
    }
  }

  /** Counts a token as part of the answer. Call it once for every answer token, in any order. */
  observe(id: number): void {
    this.#checkId('The answer', id);
    if (this.#hasPenalty) this.#answerCounts.set(id, (this.#answerCounts.get(id) ?? 0) + 1);
  }

  /**
   * @param logits `[V]`, the model's, left as they are
   * @param position of the token in the answer, 0 for the first; with the seed it decides the draw
   * @param allowed the tokens to choose from; absent: all
   * @returns the token's id; among equal logits, greedy takes the lowest id
   * @throws JanusError if the logits hold NaN or no finite maximum
   */
  sample(logits: Float32Array, position: number, allowed?: AllowedTokens): number {
    const { vocabularySize, candidates, work, weights, whole } = this.#scratch;
    if (logits.length !== vocabularySize) {
      throw new RangeError(`Got ${logits.length} logits for a vocabulary of ${vocabularySize}.`);
    }
    const { temperature, topP, seed } = this.#settings;
    const adjusted = this.#adjusts || allowed !== undefined ? this.#adjust(logits, allowed) : logits;
    if (this.#drawsFromAll && whole !== null) {
      const drawn = whole.draw(adjusted, temperature, uniform(seed, position));
      if (drawn >= 0) return drawn;
    }
    const best = this.#bestOf(adjusted);
    if (temperature === 0) return best;
    let count = this.#weighCandidates(adjusted, adjusted[best]);
    if (topP < 1) {
      count = keepNucleus(weights, candidates, count, this.#mass(count), topP, work);
    }
    return this.#draw(count, uniform(seed, position));
  }

  #bestOf(logits: Float32Array): number {
    const best = this.#scratch.whole?.best(logits) ?? -1;
    // Says which logit is wrong, where one is.
    return best >= 0 ? best : argmax(logits);
  }

  #adjust(logits: Float32Array, allowed: AllowedTokens | undefined): Float32Array {
    const { adjusted } = this.#scratch;
    if (allowed === undefined) adjusted.set(logits);
    else copyAllowed(logits, allowed, adjusted);
    for (const [id, bias] of this.#settings.logitBias) adjusted[id] += bias;
    this.#answerCounts.forEach(this.#penalize);
    return adjusted;
  }

  /** A field, so that no closure is made per token. */
  readonly #penalize = (answerCount: number, id: number): void => {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#settings;
    const before = this.#scratch.adjusted[id];
    const repeated = before > 0 ? before / repetitionPenalty : before * repetitionPenalty;
    const presence = answerCount > 0 ? presencePenalty : 0;
    this.#scratch.adjusted[id] = repeated - frequencyPenalty * answerCount - presence;
  };

  /**
   * Temperature, top-k and min-p: writes the ids that stay to `candidates` and their weights relative to the best token,
   * and returns their number. Top-k and min-p both keep the best down to some bound, so their order does not matter, and
   * top-k first leaves few exponentials to compute.
   */
  #weighCandidates(logits: Float32Array, largest: number): number {
    const { candidates, weights, vocabularySize } = this.#scratch;
    const { temperature, topK, minP } = this.#settings;
    const limited = topK > 0 && topK < vocabularySize;
    if (limited) selectLargest(logits, topK, candidates);
    const considered = limited ? topK : vocabularySize;
    let count = 0;
    for (let i = 0; i < considered; i++) {
      const id = limited ? candidates[i] : i;
      // The difference is taken first: it is at most 0, so no temperature, however small, makes the weight overflow.
      const weight = exponential((logits[id] - largest) / temperature);
      if (weight > 0 && weight >= minP) {
        candidates[count++] = id;
        weights[id] = weight;
      }
    }
    return count;
  }

  #mass(count: number): number {
    const { candidates, weights } = this.#scratch;
    let mass = 0;
    for (let i = 0; i < count; i++) mass += weights[candidates[i]];
    return mass;
  }

  /** Inverse transform sampling over the candidates in their order. */
  #draw(count: number, random: number): number {
    const { candidates, weights } = this.#scratch;
    const target = random * this.#mass(count);
    let cumulative = 0;
    for (let i = 0; i < count - 1; i++) {
      cumulative += weights[candidates[i]];
      if (cumulative > target) return candidates[i];
    }
    return candidates[count - 1];
  }

  #checkId(where: string, id: number): void {
    const { vocabularySize } = this.#scratch;
    if (!Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      throw new JanusError(
        `${where} names token ${id}, which the model does not have: use ids from 0 to ${vocabularySize - 1}.`,
      );
    }
  }
}
