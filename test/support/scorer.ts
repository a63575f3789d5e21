import type { KvCache } from '../../gpu-pool/attention/kv-cache.ts';
import { openAttention } from '../../gpu-pool/attention/open-attention.ts';
import { exchangeOpener } from '../../gpu-pool/attention/open-exchange.ts';
import { allocateTraceMemory } from '../../gpu-pool/attention/trace-sampler.ts';
import type { AttentionWorkerData } from '../../gpu-pool/attention/worker-protocol.ts';
import type { Exchange } from '../../gpu-pool/exchange/exchange.ts';
import { DEFAULT_LIMITS, type KernelChoice } from '../../gpu-pool/host/host-options.ts';
import { planKernels } from '../../gpu-pool/host/kernel-plan.ts';
import type { AttentionCompute } from '../../gpu-pool/runtime/attention-compute.ts';
import { openModel } from '../../gpu-pool/runtime/open-model.ts';
import type { ModelConfig, WeightForm } from '../../shared/model/config.ts';

/** Tokens of a prompt and its answer together. */
const MOST_TOKENS = 256;

/** What a model makes of an answer that it is given. */
export interface Score {
  /** Of each token of the answer, given all tokens before it. */
  readonly logProbabilities: readonly number[];
  /** The model's own best token at each of these places. */
  readonly best: readonly number[];
}

/** Runs a model on one thread, without a host, over given tokens. */
export class Scorer {
  readonly #config: ModelConfig;
  readonly #attention: AttentionCompute;
  readonly #cache: KvCache;
  readonly #exchange: Exchange;
  readonly #logits: Float32Array;

  private constructor(config: ModelConfig, attention: AttentionCompute, cache: KvCache, exchange: Exchange) {
    this.#config = config;
    this.#attention = attention;
    this.#cache = cache;
    this.#exchange = exchange;
    this.#logits = new Float32Array(cache.slots * config.vocabularySize);
  }

  static open(folder: string, weightForm: WeightForm, choice: KernelChoice): Scorer {
    const source = { name: 'scored', folder, weightForm };
    const model = openModel(source);
    const { config, formats } = model;
    const limits = { ...DEFAULT_LIMITS, tokenBudget: MOST_TOKENS, prefillBudget: MOST_TOKENS };
    const everyExpert = new Set(Array.from({ length: config.experts }, (_, expert) => expert));
    const plan = planKernels({
      config,
      formats,
      choice,
      experts: Array.from({ length: config.layers }, () => everyExpert),
      expertInstances: 0,
      attentionInstances: 1,
      expertRows: MOST_TOKENS,
      attentionRows: MOST_TOKENS,
      slots: limits.slots,
      lanes: 0,
      laneBytes: 0,
    });
    const data: AttentionWorkerData = {
      id: 'scorer',
      model: source,
      limits,
      experts: { kind: 'monolith' },
      gate: 'attention',
      trace: allocateTraceMemory(config, 1),
      stepCounter: new SharedArrayBuffer(4),
      ...(plan && { kernels: plan.attention(0) }),
    };
    const { model: attention, cache } = openAttention(data, model);
    const exchange = exchangeOpener(data, model)(data.experts);
    model.close();
    return new Scorer(config, attention, cache, exchange);
  }

  /** Computes all of it in one step, as a prompt. */
  async score(prompt: readonly number[], answer: readonly number[]): Promise<Score> {
    const ids = Int32Array.from([...prompt, ...answer]);
    const positions = Int32Array.from(ids, (_, position) => position);
    const rows = ids.length;
    const cache = this.#cache;
    const attention = this.#attention;
    const { step } = this.#exchange;
    const slot = cache.acquire(rows);
    attention.embed(ids, positions, rows);
    for (let layer = 0; layer < this.#config.layers; layer++) {
      attention.pre(layer);
      cache.append(slot, layer, attention.keys, attention.values, 0, rows);
      const [keys, values] = [cache.keys(slot, layer, rows), cache.values(slot, layer, rows)];
      attention.attendAll([{ firstRow: 0, rows, keys, values, length: rows }], 1);
      attention.post(layer, step.hidden, step.expertIds, step.gateWeights);
      await this.#exchange.run(layer, rows, attention.moeOutput);
    }
    const result = this.#read(prompt.length, answer);
    cache.release(slot);
    return result;
  }

  #read(promptTokens: number, answer: readonly number[]): Score {
    const { vocabularySize } = this.#config;
    const logProbabilities: number[] = [];
    const best: number[] = [];
    for (let first = 0; first < answer.length; first += this.#cache.slots) {
      const some = answer.slice(first, first + this.#cache.slots);
      const rows = Int32Array.from(some, (_, i) => promptTokens + first + i - 1);
      this.#attention.head(rows, some.length, this.#logits);
      for (const [i, id] of some.entries()) {
        const logits = this.#logits.subarray(i * vocabularySize, (i + 1) * vocabularySize);
        const largest = logits.indexOf(logits.reduce((most, value) => Math.max(most, value)));
        const top = logits[largest]!;
        const sum = logits.reduce((total, value) => total + Math.exp(value - top), 0);
        logProbabilities.push(logits[id]! - top - Math.log(sum));
        best.push(largest);
      }
    }
    return { logProbabilities, best };
  }
}
