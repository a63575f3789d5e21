import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import type { SamplingSettings, SequenceJob } from '../../shared/protocol/request.ts';

/** Bounds of one sequence; a pool that takes longer is not one to profile. */
const TIMEOUTS = { queueWaitMs: 30_000, silenceMs: 30_000, overallMs: 120_000 };
/** Pause between two looks whether all clients have a token. */
const POLL_MS = 50;

/** Fewer tokens of a sequence do not tell how fast it gets on. */
const LEAST_TOKENS = 8;

/** As random as they get, so that routing is that of no one text. */
const SAMPLING: Omit<SamplingSettings, 'seed'> = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  stop: [],
  stopTokenIds: [],
  ignoreEndOfSequence: true,
  topLogprobs: null,
};

/** Clients of which each asks again as soon as it has its answer. */
export interface LoadShape {
  readonly sequences: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
}

export interface SteadyLoadOptions extends LoadShape {
  readonly dispatcher: Dispatcher;
  readonly model: string;
  readonly vocabularySize: number;
  /** Of prompts and draws. */
  readonly seed: number;
}

/** Tokens of one sequence that its client has read one after the other. */
interface TokenSpan {
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  readonly tokens: number;
}

/** A number of sequences that decode all the time. */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #abort = new AbortController();
  readonly #clients: Promise<void>[];
  readonly #begun = new Set<number>();
  #computedPromptTokens = 0;
  /** Tokens since `takeTpots`, of sequences that have ended since and of each client's that runs. */
  readonly #ended: TokenSpan[] = [];
  readonly #running = new Map<number, TokenSpan>();
  #failure: unknown;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.sequences }, (_, client) =>
      this.#askOnAndOn(client).catch((error) => {
        this.#failure ??= error;
      }),
    );
  }

  /** Tokens of prompts that were computed, not found among kept ones, of the sequences that have ended. */
  get computedPromptTokens(): number {
    return this.#computedPromptTokens;
  }

  /**
   * Mean time per output token of each sequence since the last call, in milliseconds, as its client saw it; those with too few tokens
   * to tell are left out.
   */
  takeTpots(): number[] {
    const spans = [...this.#ended.splice(0), ...this.#running.values()];
    for (const [client, { lastAtMs }] of this.#running) {
      this.#running.set(client, { firstAtMs: lastAtMs, lastAtMs, tokens: 1 });
    }
    return spans
      .filter(({ tokens }) => tokens >= LEAST_TOKENS)
      .map(({ firstAtMs, lastAtMs, tokens }) => (lastAtMs - firstAtMs) / (tokens - 1));
  }

  /**
   * Waits until each client has had a token, so that all prompts are computed and kept.
   *
   * @param limitMs after which it goes on all the same
   * @throws JanusError when a sequence failed
   */
  async settle(limitMs: number): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (this.#begun.size < this.#options.sequences && performance.now() < untilMs) {
      await sleep(POLL_MS);
      this.check();
    }
  }

  /** @throws JanusError when a sequence failed */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Hangs up on all sequences. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#clients);
  }

  async #askOnAndOn(client: number): Promise<void> {
    const { seed, sequences, promptTokens, answerTokens, vocabularySize } = this.#options;
    const random = seededRandom(seed + client);
    const ids = Array.from({ length: promptTokens }, () => Math.floor(random() * vocabularySize));
    // First answers of all lengths spread the ends of sequences, which would else come together for as long as the load lasts.
    let tokens = Math.ceil((answerTokens * (sequences - client)) / sequences);
    while (!this.#abort.signal.aborted) {
      await this.#ask(client, ids, Math.floor(random() * 2 ** 32), tokens);
      tokens = answerTokens;
    }
  }

  async #ask(client: number, ids: readonly number[], seed: number, maxTokens: number): Promise<void> {
    const { dispatcher, model } = this.#options;
    const { signal } = this.#abort;
    const job: SequenceJob = {
      requestId: randomUUID(),
      model,
      choice: 0,
      prompt: { kind: 'tokens', ids },
      sampling: { ...SAMPLING, seed },
      maxTokens,
      acceptedAtMs: Date.now(),
    };
    await dispatcher.dispatch([job]);
    try {
      await this.#readToEnd(client, job.requestId);
    } catch (error) {
      if (!signal.aborted) throw error;
      await dispatcher.cancel(job.requestId, model);
    }
    await dispatcher.forget(job.requestId);
  }

  async #readToEnd(client: number, requestId: string): Promise<void> {
    const { signal } = this.#abort;
    for await (const events of this.#options.dispatcher.readEvents(requestId, {
      signal,
      timeouts: TIMEOUTS,
    })) {
      for (const event of events) {
        if (event.kind === 'failed') {
          throw new JanusError(`A sequence of the profiling load failed: ${event.error.message}`);
        }
        if (event.kind === 'token') this.#count(client);
        if (event.kind !== 'finished') continue;
        this.#computedPromptTokens += event.promptTokens - event.cachedTokens;
        const span = this.#running.get(client);
        if (span !== undefined) this.#ended.push(span);
        this.#running.delete(client);
        return;
      }
    }
  }

  #count(client: number): void {
    const lastAtMs = performance.now();
    const { firstAtMs, tokens } = this.#running.get(client) ?? { firstAtMs: lastAtMs, tokens: 0 };
    this.#running.set(client, { firstAtMs, lastAtMs, tokens: tokens + 1 });
    this.#begun.add(client);
  }
}
