/** Rows of one sequence in a step, and its cache: what attention needs of it. */
export interface AttentionSpan {
  /** Rows `[firstRow, firstRow + rows)` of the step are the newest of the sequence's `length` positions. */
  firstRow: number;
  rows: number;
  /** `[length]` rows as the KV cache keeps them (cache-rows.ts), the new ones included. */
  keys: Float32Array;
  values: Float32Array;
  length: number;
}

/**
 * All that an attention instance computes: everything but the experts. One step over T rows (tokens of any sequences) is
 * `embed`, then per layer `pre`, `attend`, `post`, and the experts' combined output put into `moeOutput`; then `head`. All
 * calls are synchronous and write into memory that exists: the model's own, which is sized for `maxRows`, or the caller's.
 */
export interface AttentionCompute {
  /** Largest number of rows of one step. */
  readonly maxRows: number;
  /** `[T, kvHeads·D]` after `pre`: the rows to append to the KV cache. */
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** `[T, H]`: the caller puts the layer's combined expert output here before the next `pre` or `head`. */
  readonly moeOutput: Float32Array;
  /**
   * Starts a step.
   * @param tokenIds `[T]`
   * @param positions `[T]`, of each token in its sequence
   * @param rows T, at most `maxRows`
   * @throws JanusError if there are too many rows, or a token or position lies outside the model
   */
  embed(tokenIds: Int32Array, positions: Int32Array, rows: number): void;
  /** Computes queries, keys and values of `layer` for the step's rows. */
  pre(layer: number): void;
  /** Attention of all sequences of the step: the first `count` of `spans`, which cover its rows. */
  attendAll(spans: readonly AttentionSpan[], count: number): void;
  /**
   * From attention to the experts' input and routing.
   * @param hidden `[T, H]`, written
   * @param expertIds `[T, k]`, written, best expert first; left as it is where the expert hosts gate, as are the weights
   * @param gateWeights `[T, k]`, written
   */
  post(layer: number, hidden: Float32Array, expertIds: Int32Array, gateWeights: Float32Array): void;
  /**
   * Logits of the chosen rows of the step.
   * @param rowIndices `[count]`, rows of the step
   * @param logits `[count, V]`, written
   */
  head(rowIndices: Int32Array, count: number, logits: Float32Array): void;
  /** Gives all memory back. */
  release(): void;
}
