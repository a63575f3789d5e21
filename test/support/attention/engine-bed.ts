import { afterAll } from 'vitest';
import type { CacheRegion } from '../../../gpu-pool/attention/cache-region.ts';
import { Engine } from '../../../gpu-pool/attention/engine.ts';
import { ForwardPass } from '../../../gpu-pool/attention/forward-pass.ts';
import { KvCache } from '../../../gpu-pool/attention/kv-cache.ts';
import { PrefixCache } from '../../../gpu-pool/attention/prefix-cache.ts';
import type { Sequence } from '../../../gpu-pool/attention/sequence.ts';
import { SequenceFactory } from '../../../gpu-pool/attention/sequence-factory.ts';
import { loadModelFolder } from '../../../gpu-pool/checkpoint/model-folder.ts';
import { MonolithExchange } from '../../../gpu-pool/exchange/monolith.ts';
import { AttentionModel } from '../../../gpu-pool/runtime/attention-model.ts';
import { checkpointWeights } from '../../../gpu-pool/runtime/checkpoint-weights.ts';
import { ExpertModel } from '../../../gpu-pool/runtime/expert-model.ts';
import { weightFormats } from '../../../gpu-pool/runtime/weights.ts';
import { loadTokenizer } from '../../../gpu-pool/tokenizer/load-tokenizer.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import { GREEDY } from '../generate.ts';
import { DICTIONARY_FOLDER, DICTIONARY_MODEL } from '../test-host.ts';

export const MAX_ROWS = 128;

const { config: modelConfig, checkpoint } = loadModelFolder(DICTIONARY_FOLDER);
export const config = modelConfig;
const tokenizer = loadTokenizer(DICTIONARY_FOLDER, config.vocabularySize);
const weights = checkpointWeights(checkpoint);
const model = AttentionModel.load(config, weights, { formats: weightFormats('f32'), maxRows: MAX_ROWS });
const experts = new ExpertModel(config, weights, weightFormats('f32'));
for (let layer = 0; layer < config.layers; layer++) {
  for (let expert = 0; expert < config.experts; expert++) experts.load(layer, expert);
}
checkpoint.close();
afterAll(() => {
  model.release();
  experts.release();
});

/** A way to experts that breaks in the last layer of a step, once for each error in `failures`. */
class BreakableExchange extends MonolithExchange {
  readonly failures: Error[] = [];

  override async run(layer: number, rows: number, output: Float32Array): Promise<void> {
    const failure = layer === config.layers - 1 ? this.failures.shift() : undefined;
    if (failure !== undefined) throw failure;
    await super.run(layer, rows, output);
  }
}

/** Counts the rows that are computed, and keeps the logits that were sampled from. */
class WatchedForwardPass extends ForwardPass {
  rows = 0;
  readonly seenLogits: Float32Array[] = [];

  override async run(sequences: readonly Sequence[], rows: Int32Array, total: number): Promise<void> {
    this.rows += total;
    await super.run(sequences, rows, total);
  }

  override logits(index: number): Float32Array | undefined {
    const logits = super.logits(index);
    if (logits !== undefined) this.seenLogits.push(logits.slice());
    return logits;
  }
}

export interface EngineBedOptions {
  readonly prefixBytes: number;
  readonly tokenBudget?: number;
  /** Where keys and values go. */
  readonly region?: CacheRegion;
  readonly survivesInterruptions?: boolean;
}

/** An engine of the shipped model without other threads. */
export class EngineBed {
  readonly cache: KvCache;
  readonly prefixCache: PrefixCache | undefined;
  readonly exchange: BreakableExchange;
  readonly forwardPass: WatchedForwardPass;
  readonly engine: Engine;
  readonly #events = new Map<string, TokenEvent[]>();
  #requests = 0;

  constructor(options: EngineBedOptions) {
    const { prefixBytes, tokenBudget = MAX_ROWS, region, survivesInterruptions = false } = options;
    const cacheShape = {
      slots: 4,
      layers: config.layers,
      kvWidth: config.keyValueHeads * config.headSize,
      contextLength: config.contextLength,
    };
    this.cache = new KvCache(
      cacheShape,
      region && { allocate: (floats) => region.allocate(floats), free: (buffer) => region.free(buffer) },
    );
    const { hiddenSize, expertsPerToken } = config;
    const shape = { maxRows: MAX_ROWS, hiddenSize, expertsPerToken };
    this.exchange = new BreakableExchange(shape, config.experts, (...call) => experts.run(...call));
    this.prefixCache =
      prefixBytes > 0 ? new PrefixCache({ cache: this.cache, maxBytes: prefixBytes }) : undefined;
    this.forwardPass = new WatchedForwardPass(config, model, this.cache, this.exchange);
    this.engine = new Engine({
      factory: new SequenceFactory(config, tokenizer),
      cache: this.cache,
      ...(this.prefixCache && { prefixCache: this.prefixCache }),
      forwardPass: this.forwardPass,
      limits: { tokenBudget, prefillBudget: tokenBudget, waiting: 100 },
      survivesInterruptions,
      listener: {
        event: (requestId, event) => this.#events.get(requestId)!.push(event),
        ended: () => {},
      },
    });
  }

  /** @param overrides fields of the job that are not as usual: greedy, without an end of sequence */
  submit(
    promptIds: readonly number[],
    maxTokens = 1,
    emitted: readonly number[] = [],
    overrides: Partial<SequenceJob> = {},
  ): string {
    const requestId = `request ${this.#requests++}`;
    this.#events.set(requestId, []);
    const job = {
      requestId,
      model: DICTIONARY_MODEL,
      choice: 0,
      prompt: { kind: 'tokens', ids: promptIds },
      sampling: { ...GREEDY, ignoreEndOfSequence: true },
      maxTokens,
      acceptedAtMs: 0,
    } as const;
    this.engine.submit({ ...job, ...overrides }, emitted);
    return requestId;
  }

  async drain(): Promise<void> {
    while (!this.engine.idle) await this.engine.step();
  }

  /** Token ids of an answer. */
  answer(requestId: string): number[] {
    return this.#events.get(requestId)!.flatMap((event) => (event.kind === 'token' ? [event.id] : []));
  }

  /** Text of an answer, with what was held back to its end. */
  text(requestId: string): string {
    return this.#events
      .get(requestId)!
      .map((event) => (event.kind === 'token' || event.kind === 'finished' ? event.text : ''))
      .join('');
  }

  lastEvent(requestId: string): TokenEvent {
    return this.#events.get(requestId)!.at(-1)!;
  }

  /** Prompt tokens that were not computed for a request, as its last event tells. */
  cachedTokens(requestId: string): number {
    const end = this.lastEvent(requestId);
    if (end.kind !== 'finished') throw new Error(`The last event is ${end.kind}.`);
    return end.cachedTokens;
  }

  /** One request alone: its answer, the logits that it was sampled from, and the rows that were computed for it. */
  async generate(promptIds: readonly number[], maxTokens = 1) {
    const before = this.forwardPass.rows;
    this.forwardPass.seenLogits.length = 0;
    const requestId = this.submit(promptIds, maxTokens);
    await this.drain();
    return {
      ids: this.answer(requestId),
      logits: [...this.forwardPass.seenLogits],
      rows: this.forwardPass.rows - before,
    };
  }
}
