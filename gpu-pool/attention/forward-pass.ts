import type { ModelConfig } from '../../shared/model/config.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { AttentionCompute, AttentionSpan } from '../runtime/attention-compute.ts';
import type { KvCache } from './kv-cache.ts';
import { PhaseTimes } from './phase-times.ts';
import type { Sequence } from './sequence.ts';

/**
 * One iteration of the model over the rows of a batch: embedding, then per layer attention here and experts behind the
 * exchange, then the LM head for the sequences whose next token can be sampled.
 *
 * Memory is allocated once, for the model's `maxRows` rows and one sequence per KV slot.
 */
export class ForwardPass {
  readonly phases = new PhaseTimes();
  readonly #model: AttentionCompute;
  readonly #cache: KvCache;
  readonly #exchange: Exchange;
  readonly #layers: number;
  readonly #vocabularySize: number;
  readonly #tokenIds: Int32Array;
  readonly #positions: Int32Array;
  readonly #headRows: Int32Array;
  /** Per sequence its row of `#logits`, or -1. */
  readonly #headIndexes: Int32Array;
  readonly #logits: Float32Array;
  /** One per sequence of the step. */
  readonly #spans: readonly AttentionSpan[];

  constructor(config: ModelConfig, model: AttentionCompute, cache: KvCache, exchange: Exchange) {
    this.#model = model;
    this.#cache = cache;
    this.#exchange = exchange;
    this.#layers = config.layers;
    this.#vocabularySize = config.vocabularySize;
    this.#tokenIds = new Int32Array(model.maxRows);
    this.#positions = new Int32Array(model.maxRows);
    this.#headRows = new Int32Array(cache.slots);
    this.#headIndexes = new Int32Array(cache.slots);
    const nothing = new Float32Array(0);
    this.#spans = Array.from({ length: cache.slots }, () => ({
      firstRow: 0,
      rows: 0,
      keys: nothing,
      values: nothing,
      length: 0,
    }));
    this.#logits = new Float32Array(cache.slots * this.#vocabularySize);
  }

  /**
   * Computes the next `rows[i]` pending tokens of each `sequences[i]` and makes them part of the KV cache.
   *
   * @param total sum of `rows`
   * @throws ExchangeError when the expert pool did not answer; the KV cache is then as before
   */
  async run(sequences: readonly Sequence[], rows: Int32Array, total: number): Promise<void> {
    const model = this.#model;
    const { phases } = this;
    phases.begin();
    this.#gatherTokens(sequences, rows);
    model.embed(this.#tokenIds, this.#positions, total);
    phases.end('embed');
    const { step } = this.#exchange;
    for (let layer = 0; layer < this.#layers; layer++) {
      model.pre(layer);
      phases.end('pre');
      this.#attend(layer, sequences, rows);
      phases.end('attend');
      model.post(layer, step.hidden, step.expertIds, step.gateWeights);
      phases.end('post');
      await this.#exchange.run(layer, total, model.moeOutput);
      phases.end('exchange');
    }
    this.#advance(sequences, rows);
    phases.end('head');
  }

  /** Logits `[V]` of `sequences[index]` of the last `run`; undefined while tokens of it are still to be computed. */
  logits(index: number): Float32Array | undefined {
    const head = this.#headIndexes[index]!;
    if (head < 0) return undefined;
    return this.#logits.subarray(head * this.#vocabularySize, (head + 1) * this.#vocabularySize);
  }

  #gatherTokens(sequences: readonly Sequence[], rows: Int32Array): void {
    let row = 0;
    for (let i = 0; i < sequences.length; i++) {
      const { tokens, computed } = sequences[i]!;
      for (let offset = 0; offset < rows[i]!; offset++, row++) {
        this.#tokenIds[row] = tokens[computed + offset]!;
        this.#positions[row] = computed + offset;
      }
    }
  }

  #attend(layer: number, sequences: readonly Sequence[], rows: Int32Array): void {
    const model = this.#model;
    const cache = this.#cache;
    let firstRow = 0;
    let spans = 0;
    for (let i = 0; i < sequences.length; i++) {
      const count = rows[i]!;
      if (count === 0) continue;
      const { slot, computed } = sequences[i]!;
      cache.append(slot, layer, model.keys, model.values, firstRow, count);
      const span = this.#spans[spans++]!;
      span.firstRow = firstRow;
      span.rows = count;
      span.keys = cache.keys(slot, layer, count);
      span.values = cache.values(slot, layer, count);
      span.length = computed + count;
      firstRow += count;
    }
    model.attendAll(this.#spans, spans);
  }

  /** Makes the computed rows part of each sequence, and computes logits for those that have none left to compute. */
  #advance(sequences: readonly Sequence[], rows: Int32Array): void {
    let lastRow = -1;
    let heads = 0;
    for (let i = 0; i < sequences.length; i++) {
      const sequence = sequences[i]!;
      const count = rows[i]!;
      this.#headIndexes[i] = -1;
      if (count === 0) continue;
      lastRow += count;
      this.#cache.advance(sequence.slot, count);
      sequence.computed += count;
      if (sequence.pending > 0) continue;
      this.#headIndexes[i] = heads;
      this.#headRows[heads++] = lastRow;
    }
    if (heads > 0) this.#model.head(this.#headRows, heads, this.#logits);
  }
}
