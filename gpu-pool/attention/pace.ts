import type { StepLimits } from '../../shared/batching/plan-step.ts';
import type { PaceRecord } from '../../shared/protocol/member.ts';
import type { Sequence } from './sequence.ts';

/** Share of its weight that a step keeps when the next one of its kind comes: some fifty count. */
const STEP_MEMORY = 0.98;
/** The same of a sequence: some twenty count. */
const SEQUENCE_MEMORY = 0.95;

type RunningSequence = Pick<Sequence, 'pendingPromptTokens' | 'computed'>;
type EndedSequence = Pick<Sequence, 'slot' | 'promptTokens' | 'completionTokens'>;

/** Mean of which the newest values count most. */
class FadingMean {
  readonly #memory: number;
  #weight = 0;
  #sum = 0;

  constructor(memory: number) {
    this.#memory = memory;
  }

  /** 0 without values. */
  get value(): number {
    return this.#weight === 0 ? 0 : this.#sum / this.#weight;
  }

  /** @param weight the values that `sum` is the sum of */
  add(sum: number, weight = 1): void {
    this.#weight = this.#weight * this.#memory + weight;
    this.#sum = this.#sum * this.#memory + sum;
  }
}

/** Measures how fast an instance gets on, for the prediction of when a further sequence would have its first token. */
export class Pace {
  /** Of steps without prompt tokens, and what each prompt token of the others takes beyond that. */
  readonly #stepMs = new FadingMean(STEP_MEMORY);
  readonly #promptTokenMs = new FadingMean(STEP_MEMORY);
  readonly #sequenceMs = new FadingMean(SEQUENCE_MEMORY);
  readonly #promptTokens = new FadingMean(SEQUENCE_MEMORY);
  /** When each slot was taken. */
  readonly #takenAtMs: Float64Array;
  #hasStepped = false;
  #generatedTokens = 0;
  /** Answers that ended, their tokens, and the squares of each one's. */
  #answers = 0;
  #answerTokens = 0;
  #answerTokensSquared = 0;
  /** Of the step under way. */
  #promptRows = 0;
  #stepBeganAtMs = 0;

  /** @param slots KV slots of the instance */
  constructor(slots: number) {
    this.#takenAtMs = new Float64Array(slots);
  }

  /** @param rows `rows[i]` is the number of rows of `running[i]` in the step */
  stepBegins(running: readonly RunningSequence[], rows: Int32Array, nowMs: number): void {
    this.#stepBeganAtMs = nowMs;
    this.#promptRows = 0;
    for (let i = 0; i < running.length; i++) {
      if (running[i]!.pendingPromptTokens > 0) this.#promptRows += rows[i]!;
    }
  }

  stepEnds(nowMs: number): void {
    const ms = nowMs - this.#stepBeganAtMs;
    this.#hasStepped = true;
    if (this.#promptRows === 0) this.#stepMs.add(ms);
    else this.#promptTokenMs.add(Math.max(0, ms - this.#stepMs.value), this.#promptRows);
  }

  /** A token of an answer was sampled. */
  generated(): void {
    this.#generatedTokens++;
  }

  slotTaken(slot: number, nowMs: number): void {
    this.#takenAtMs[slot] = nowMs;
  }

  slotFreed({ slot, promptTokens, completionTokens }: EndedSequence, nowMs: number): void {
    this.#answers++;
    this.#answerTokens += completionTokens;
    this.#answerTokensSquared += completionTokens ** 2;
    this.#sequenceMs.add(nowMs - this.#takenAtMs[slot]!);
    this.#promptTokens.add(promptTokens);
  }

  /** Null until a step was computed. */
  record(
    { prefillBudget }: Pick<StepLimits, 'prefillBudget'>,
    running: readonly RunningSequence[],
    waiting: readonly { readonly promptIds: ArrayLike<number> }[],
  ): PaceRecord | null {
    if (!this.#hasStepped) return null;
    let pendingPromptTokens = 0;
    let contextTokens = 0;
    for (const { promptIds } of waiting) pendingPromptTokens += promptIds.length;
    for (const sequence of running) {
      pendingPromptTokens += sequence.pendingPromptTokens;
      contextTokens += sequence.computed;
    }
    return {
      stepMs: this.#stepMs.value,
      promptTokenMs: this.#promptTokenMs.value,
      promptRowsPerStep: prefillBudget,
      promptTokens: this.#promptTokens.value,
      sequenceMs: this.#answers > 0 ? this.#sequenceMs.value : null,
      pendingPromptTokens,
      contextTokens,
      generatedTokens: this.#generatedTokens,
      ended: {
        answers: this.#answers,
        tokens: this.#answerTokens,
        tokensSquared: this.#answerTokensSquared,
      },
    };
  }
}
