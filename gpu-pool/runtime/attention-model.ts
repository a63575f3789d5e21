import { JanusError } from '../../shared/errors/janus-error.ts';
import type { GatePlacement, ModelConfig } from '../../shared/model/config.ts';
import type { AttentionCompute, AttentionSpan } from './attention-compute.ts';
import { type AttentionSessions, buildSessions, releaseSessions } from './attention-sessions.ts';
import { RotaryTable } from './rotary.ts';
import { view } from './session.ts';
import type { WeightFormats, WeightSource } from './weights.ts';

export interface AttentionModelSettings {
  readonly formats: WeightFormats;
  /** Largest number of rows (tokens) of one step. */
  readonly maxRows: number;
  /** Where rows are routed to experts: in `post` (default), or by the expert hosts. */
  readonly gate?: GatePlacement;
}

/** The attention side in ONNX Runtime, on one thread. */
export class AttentionModel implements AttentionCompute {
  /** `[T, heads·D]` after `pre`. */
  readonly queries: Float32Array;
  /** `[T, kvHeads·D]` after `pre`: the rows to append to the KV cache. */
  readonly keys: Float32Array;
  /** `[T, kvHeads·D]` after `pre`: the rows to append to the KV cache. */
  readonly values: Float32Array;
  /** `[T, heads·D]`, filled by `attend`. */
  readonly attended: Float32Array;
  /** `[T, H]`: the caller puts the layer's combined expert output here before the next `pre` or `head`. */
  readonly moeOutput: Float32Array;
  /** Largest number of rows of one step. */
  readonly maxRows: number;

  readonly #config: ModelConfig;
  readonly #sessions: AttentionSessions;
  readonly #rotary: RotaryTable;
  readonly #cos: Float32Array;
  readonly #sin: Float32Array;
  /** Residual stream `[T, H]` as a layer's attention finds it. */
  readonly #beforeAttention: Float32Array;
  /** Residual stream `[T, H]` as a layer's experts find it. */
  readonly #beforeExperts: Float32Array;
  /** True where `post` routes. */
  readonly #gates: boolean;
  /** T of the step under way. */
  #rows = 0;

  private constructor(config: ModelConfig, sessions: AttentionSessions, maxRows: number, gates: boolean) {
    const { hiddenSize, headSize } = config;
    const keyWidth = config.keyValueHeads * headSize;
    const queryWidth = config.attentionHeads * headSize;
    this.#config = config;
    this.#sessions = sessions;
    this.#gates = gates;
    this.maxRows = maxRows;
    this.#rotary = new RotaryTable(config.contextLength, headSize, config.ropeTheta);
    this.#cos = new Float32Array((maxRows * headSize) / 2);
    this.#sin = new Float32Array((maxRows * headSize) / 2);
    this.queries = new Float32Array(maxRows * queryWidth);
    this.keys = new Float32Array(maxRows * keyWidth);
    this.values = new Float32Array(maxRows * keyWidth);
    this.attended = new Float32Array(maxRows * queryWidth);
    this.moeOutput = new Float32Array(maxRows * hiddenSize);
    this.#beforeAttention = new Float32Array(maxRows * hiddenSize);
    this.#beforeExperts = new Float32Array(maxRows * hiddenSize);
  }

  /**
   * Builds the graphs and their sessions.
   * @throws JanusError if `maxRows` is wrong, a tensor is missing or has the wrong shape, or ONNX Runtime rejects a graph.
   */
  static load(config: ModelConfig, weights: WeightSource, settings: AttentionModelSettings): AttentionModel {
    const { formats, maxRows, gate = 'attention' } = settings;
    if (!Number.isInteger(maxRows) || maxRows < 1) {
      throw new JanusError(`maxRows must be a positive integer, got ${maxRows}`);
    }
    const gates = gate === 'attention';
    const sessions = buildSessions(config, weights, formats, gates);
    return new AttentionModel(config, sessions, maxRows, gates);
  }

  /**
   * Starts a step: the residual stream becomes the embeddings of `tokenIds`.
   * @param tokenIds `[T]`
   * @param positions `[T]`, of each token in its sequence.
   * @param rows T, at most `maxRows`.
   * @throws JanusError if there are too many rows, or a token or position lies outside the model.
   */
  embed(tokenIds: Int32Array, positions: Int32Array, rows: number): void {
    if (rows < 1 || rows > this.maxRows) {
      throw new JanusError(`a step of ${rows} rows is outside 1 … ${this.maxRows} (maxRows)`);
    }
    const { vocabularySize } = this.#config;
    for (let row = 0; row < rows; row += 1) {
      const id = tokenIds[row]!;
      // The graph would take a negative id for one that counts from the end of the table.
      if (id < 0 || id >= vocabularySize) {
        throw new JanusError(`token id ${id} is outside the model's vocabulary of ${vocabularySize}`);
      }
    }
    this.#rows = rows;
    this.#rotary.fill(positions, rows, this.#cos, this.#sin);
    this.#sessions.embedding.run(
      { tokenIds: view(tokenIds, rows) },
      { residual: view(this.#beforeAttention, rows, this.#config.hiddenSize) },
    );
  }

  /** Computes `queries`, `keys` and `values` of `layer` for the step's rows. */
  pre(layer: number): void {
    const { hiddenSize, headSize, attentionHeads, keyValueHeads } = this.#config;
    const rows = this.#rows;
    const residual = view(this.#beforeAttention, 1, rows, hiddenSize);
    const rotation = {
      cos: view(this.#cos, 1, rows, headSize / 2),
      sin: view(this.#sin, 1, rows, headSize / 2),
    };
    const outputs = {
      queries: view(this.queries, 1, rows, attentionHeads * headSize),
      keys: view(this.keys, 1, rows, keyValueHeads * headSize),
      values: view(this.values, 1, rows, keyValueHeads * headSize),
    };
    const { pre } = this.#sessions.layers[layer]!;
    if (layer === 0) {
      pre.run({ residual, ...rotation }, outputs);
      return;
    }
    pre.run(
      {
        residual: view(this.#beforeExperts, 1, rows, hiddenSize),
        moeOutput: view(this.moeOutput, 1, rows, hiddenSize),
        ...rotation,
      },
      { nextResidual: residual, ...outputs },
    );
  }

  /**
   * Attention of one sequence: rows [firstRow, firstRow + rows) of the step, which are the newest `rows` of the
   * sequence's `length` positions, over all its positions. Writes the same rows of `attended`.
   * @param keyView `[length, kvHeads·D]`, the new rows included.
   * @param valueView `[length, kvHeads·D]`, the new rows included.
   */
  attend(
    firstRow: number,
    rows: number,
    keyView: Float32Array,
    valueView: Float32Array,
    length: number,
  ): void {
    const { headSize, attentionHeads, keyValueHeads } = this.#config;
    const width = attentionHeads * headSize;
    const keyWidth = keyValueHeads * headSize;
    const from = firstRow * width;
    const to = (firstRow + rows) * width;
    this.#sessions.attention.run(
      {
        queries: view(this.queries.subarray(from, to), 1, rows, width),
        keys: view(keyView, 1, length, keyWidth),
        values: view(valueView, 1, length, keyWidth),
      },
      { attended: view(this.attended.subarray(from, to), 1, rows, width) },
    );
  }

  attendAll(spans: readonly AttentionSpan[], count: number): void {
    for (let i = 0; i < count; i++) {
      const { firstRow, rows, keys, values, length } = spans[i]!;
      this.attend(firstRow, rows, keys, values, length);
    }
  }

  /**
   * From `attended` to the experts' input and routing, written into the caller's arrays.
   * @param hidden `[T, H]`
   * @param expertIds `[T, k]`, best expert first; left as it is where the expert hosts gate, as are the weights.
   * @param gateWeights `[T, k]`
   */
  post(layer: number, hidden: Float32Array, expertIds: Int32Array, gateWeights: Float32Array): void {
    const { hiddenSize, headSize, attentionHeads, expertsPerToken } = this.#config;
    const rows = this.#rows;
    this.#sessions.layers[layer]!.post.run(
      {
        attended: view(this.attended, rows, attentionHeads * headSize),
        residual: view(this.#beforeAttention, rows, hiddenSize),
      },
      {
        nextResidual: view(this.#beforeExperts, rows, hiddenSize),
        hidden: view(hidden, rows, hiddenSize),
        ...(this.#gates && {
          expertIds: view(expertIds, rows, expertsPerToken),
          gateWeights: view(gateWeights, rows, expertsPerToken),
        }),
      },
    );
  }

  /**
   * Logits of the chosen rows of the step.
   * @param rowIndices `[count]`, rows of the step.
   * @param logits `[count, V]`
   */
  head(rowIndices: Int32Array, count: number, logits: Float32Array): void {
    const { hiddenSize, vocabularySize } = this.#config;
    this.#sessions.head.run(
      {
        residual: view(this.#beforeExperts, this.#rows, hiddenSize),
        moeOutput: view(this.moeOutput, this.#rows, hiddenSize),
        rowIndices: view(rowIndices, count),
      },
      { logits: view(logits, count, vocabularySize) },
    );
  }

  /** Gives all memory of the sessions back. */
  release(): void {
    releaseSessions(this.#sessions);
  }
}
