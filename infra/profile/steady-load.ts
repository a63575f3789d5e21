import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import { JanusError } from '../../shared/errors/janus-error.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import type { SamplingSettings, SequenceJob } from '../../shared/protocol/request.ts';

/** Bounds of one sequence; a pool that takes longer is not one to profile. */
const TIMEOUTS = { queueWaitMs: 30_000, silenceMs: 30_000, overallMs: 120_000 };
/** Pause between two looks whether all clients have an answer. */
const POLL_MS = 50;

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

/** A number of sequences that decode all the time. */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #abort = new AbortController();
  readonly #clients: Promise<void>[];
  readonly #answered = new Set<number>();
  #computedPromptTokens = 0;
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
   * Waits until each client has had an answer, so that all prompts are kept and lengths of contexts are spread.
   *
   * @param limitMs after which it goes on all the same
   * @throws JanusError when a sequence failed
   */
  async settle(limitMs: number): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (this.#answered.size < this.#options.sequences && performance.now() < untilMs) {
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
    const { seed, promptTokens, vocabularySize } = this.#options;
    const random = seededRandom(seed + client);
    const ids = Array.from({ length: promptTokens }, () => Math.floor(random() * vocabularySize));
    while (!this.#abort.signal.aborted) {
      await this.#ask(ids, Math.floor(random() * 2 ** 32));
      this.#answered.add(client);
    }
  }

  async #ask(ids: readonly number[], seed: number): Promise<void> {
    const { dispatcher, model, answerTokens } = this.#options;
    const { signal } = this.#abort;
    const job: SequenceJob = {
      requestId: randomUUID(),
      model,
      choice: 0,
      prompt: { kind: 'tokens', ids },
      sampling: { ...SAMPLING, seed },
      maxTokens: answerTokens,
      acceptedAtMs: Date.now(),
    };
    await dispatcher.dispatch([job]);
    try {
      await this.#readToEnd(job.requestId);
    } catch (error) {
      if (!signal.aborted) throw error;
      await dispatcher.cancel(job.requestId, model);
    }
    await dispatcher.forget(job.requestId);
  }

  async #readToEnd(requestId: string): Promise<void> {
    const { signal } = this.#abort;
    for await (const events of this.#options.dispatcher.readEvents(requestId, {
      signal,
      timeouts: TIMEOUTS,
    })) {
      for (const event of events) {
        if (event.kind === 'failed') {
          throw new JanusError(`A sequence of the profiling load failed: ${event.error.message}`);
        }
        if (event.kind !== 'finished') continue;
        this.#computedPromptTokens += event.promptTokens - event.cachedTokens;
        return;
      }
    }
  }
}
