import type { AttentionModel } from '../../gpu-pool/runtime/attention-model.ts';
import type { ExpertModel } from '../../gpu-pool/runtime/expert-model.ts';
import type { ModelConfig } from '../../shared/model/config.ts';

export interface GeneratedSequence {
  /** The answer's ids, the end-of-sequence id included. */
  readonly ids: number[];
  /** Natural log probabilities `[V]` of the first answer token. */
  readonly firstLogprobs: Float32Array;
}

interface Sequence extends GeneratedSequence {
  /** Per layer: `[positions, kvHeads·D]`. */
  readonly keys: Float32Array[];
  readonly values: Float32Array[];
  /** Positions in the KV cache. */
  length: number;
}

/** Rows of one step: a run of consecutive positions for each sequence that takes part. */
interface Run {
  readonly sequence: Sequence;
  readonly firstRow: number;
  readonly tokens: readonly number[];
}

/**
 * Prefill and greedy decode in one thread over plain arrays, without pools and exchange: the yardstick for both. All
 * prompts are answered at once, batched as far as the model's `maxRows` goes.
 *
 * @param experts holds every expert of every layer.
 * @param maxTokens largest number of answer tokens of each sequence.
 */
export function generateAlone(
  model: AttentionModel,
  experts: ExpertModel,
  config: ModelConfig,
  prompts: readonly (readonly number[])[],
  maxTokens: number,
): GeneratedSequence[] {
  const step = new AloneStep(model, experts, config);
  const sequences = prompts.map((prompt) => newSequence(config, prompt.length + maxTokens));
  for (const group of groupsOf(sequences, prompts, model.maxRows)) step.run(group);

  const unfinished = (sequence: Sequence): boolean =>
    sequence.ids.length < maxTokens && !config.endOfSequenceIds.includes(sequence.ids.at(-1)!);
  let going = sequences.filter(unfinished);
  while (going.length > 0) {
    const lastTokens = going.map((sequence) => sequence.ids.slice(-1));
    for (const group of groupsOf(going, lastTokens, model.maxRows)) step.run(group);
    going = going.filter(unfinished);
  }
  return sequences;
}

function newSequence(config: ModelConfig, positions: number): Sequence {
  const cache = (): Float32Array[] =>
    Array.from(
      { length: config.layers },
      () => new Float32Array(positions * config.keyValueHeads * config.headSize),
    );
  return {
    ids: [],
    firstLogprobs: new Float32Array(config.vocabularySize),
    keys: cache(),
    values: cache(),
    length: 0,
  };
}

/** Packs whole runs into steps of at most `maxRows` rows. */
function groupsOf(
  sequences: readonly Sequence[],
  tokens: readonly (readonly number[])[],
  maxRows: number,
): Run[][] {
  const groups: Run[][] = [];
  let rows = maxRows;
  for (const [index, sequence] of sequences.entries()) {
    const run = tokens[index]!;
    if (rows + run.length > maxRows) {
      groups.push([]);
      rows = 0;
    }
    groups.at(-1)!.push({ sequence, firstRow: rows, tokens: run });
    rows += run.length;
  }
  return groups;
}

/** One step of the model over some runs, and the arrays that it needs. */
class AloneStep {
  readonly #model: AttentionModel;
  readonly #experts: ExpertModel;
  readonly #config: ModelConfig;
  readonly #hidden: Float32Array;
  readonly #expertIds: Int32Array;
  readonly #gateWeights: Float32Array;

  constructor(model: AttentionModel, experts: ExpertModel, config: ModelConfig) {
    this.#model = model;
    this.#experts = experts;
    this.#config = config;
    this.#hidden = new Float32Array(model.maxRows * config.hiddenSize);
    this.#expertIds = new Int32Array(model.maxRows * config.expertsPerToken);
    this.#gateWeights = new Float32Array(model.maxRows * config.expertsPerToken);
  }

  /** Appends every run's tokens to its sequence's KV cache, and the best next token to its answer. */
  run(runs: readonly Run[]): void {
    const tokens = Int32Array.from(runs.flatMap((run) => run.tokens));
    const positions = Int32Array.from(
      runs.flatMap(({ sequence, tokens }) => tokens.map((_, index) => sequence.length + index)),
    );
    this.#model.embed(tokens, positions, tokens.length);
    for (let layer = 0; layer < this.#config.layers; layer += 1) {
      this.#model.pre(layer);
      for (const run of runs) this.#attend(layer, run);
      this.#model.post(layer, this.#hidden, this.#expertIds, this.#gateWeights);
      this.#runExperts(layer, tokens.length);
    }
    for (const { sequence, tokens } of runs) sequence.length += tokens.length;
    this.#sample(runs);
  }

  #attend(layer: number, { sequence, firstRow, tokens }: Run): void {
    const width = this.#config.keyValueHeads * this.#config.headSize;
    const from = firstRow * width;
    const to = from + tokens.length * width;
    const keys = sequence.keys[layer]!;
    const values = sequence.values[layer]!;
    keys.set(this.#model.keys.subarray(from, to), sequence.length * width);
    values.set(this.#model.values.subarray(from, to), sequence.length * width);
    const length = sequence.length + tokens.length;
    this.#model.attend(
      firstRow,
      tokens.length,
      keys.subarray(0, length * width),
      values.subarray(0, length * width),
      length,
    );
  }

  #runExperts(layer: number, rows: number): void {
    const { experts, expertsPerToken, hiddenSize } = this.#config;
    const { moeOutput } = this.#model;
    moeOutput.fill(0, 0, rows * hiddenSize);
    for (let expert = 0; expert < experts; expert += 1) {
      const slots: number[] = [];
      for (let slot = 0; slot < rows * expertsPerToken; slot += 1) {
        if (this.#expertIds[slot] === expert) slots.push(slot);
      }
      if (slots.length === 0) continue;
      const input = new Float32Array(slots.length * hiddenSize);
      const output = new Float32Array(slots.length * hiddenSize);
      const rowOf = (slot: number): number => Math.floor(slot / expertsPerToken) * hiddenSize;
      slots.forEach((slot, index) => {
        input.set(this.#hidden.subarray(rowOf(slot), rowOf(slot) + hiddenSize), index * hiddenSize);
      });
      this.#experts.run(layer, expert, input, slots.length, output);
      slots.forEach((slot, index) => {
        const weight = this.#gateWeights[slot]!;
        for (let column = 0; column < hiddenSize; column += 1) {
          moeOutput[rowOf(slot) + column]! += weight * output[index * hiddenSize + column]!;
        }
      });
    }
  }

  #sample(runs: readonly Run[]): void {
    const { vocabularySize } = this.#config;
    const lastRows = Int32Array.from(runs, ({ firstRow, tokens }) => firstRow + tokens.length - 1);
    const logits = new Float32Array(runs.length * vocabularySize);
    this.#model.head(lastRows, runs.length, logits);
    for (const [index, { sequence }] of runs.entries()) {
      const own = logits.subarray(index * vocabularySize, (index + 1) * vocabularySize);
      if (sequence.ids.length === 0) writeLogSoftmax(own, sequence.firstLogprobs);
      let best = 0;
      for (let id = 1; id < vocabularySize; id += 1) if (own[id]! > own[best]!) best = id;
      sequence.ids.push(best);
    }
  }
}

function writeLogSoftmax(logits: Float32Array, logprobs: Float32Array): void {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  logits.forEach((logit, id) => {
    logprobs[id] = logit - largest - Math.log(sum);
  });
}
