import { randomUUID } from 'node:crypto';
import { GREEDY, type TestClient } from './generate.ts';
import { DECIDED_GAP, GOLDEN_CASES } from './golden.ts';
import { DICTIONARY_MODEL } from './test-host.ts';

/** Prompts whose answers are decided by more than rounding. */
const CASES = GOLDEN_CASES.filter((known) => known.smallest_gap > 10 * DECIDED_GAP);
const TIMEOUTS = { queueWaitMs: 60_000, silenceMs: 60_000, overallMs: 120_000 };

/** What streams of reference prompts showed while something was done to the pools. */
export interface StreamResult {
  /** Answers that were read to their end. */
  readonly answers: number;
  /** Those that failed or were other than the reference's. */
  readonly wrong: readonly string[];
  /** Longest time between two tokens of one stream, and within which it fell. */
  readonly longestGapMs: number;
}

/** Concurrent streams of reference prompts, one after the other each, until they are told to end. */
export class StreamLoad {
  readonly #client: TestClient;
  readonly #streams: readonly Promise<void>[];
  #ending = false;
  #answers = 0;
  readonly #wrong: string[] = [];
  #longestGapMs = 0;
  #tokens = 0;

  constructor(client: TestClient, streams: number) {
    this.#client = client;
    this.#streams = Array.from({ length: streams }, (_, stream) => this.#run(stream));
  }

  /** Tokens that came by now, of all streams. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Forgets the longest gap so far. */
  forgetGaps(): void {
    this.#longestGapMs = 0;
  }

  /** Lets the answers under way come to their end. */
  async end(): Promise<StreamResult> {
    this.#ending = true;
    await Promise.all(this.#streams);
    return { answers: this.#answers, wrong: this.#wrong, longestGapMs: this.#longestGapMs };
  }

  async #run(stream: number): Promise<void> {
    for (let turn = stream; !this.#ending; turn += this.#streams?.length ?? 1) {
      await this.#ask(CASES[turn % CASES.length]!);
    }
  }

  async #ask({ prompt_ids: prompt, generated_ids: expected }: (typeof CASES)[number]): Promise<void> {
    const requestId = randomUUID();
    const { dispatcher } = this.#client;
    await dispatcher.dispatch([
      {
        requestId,
        model: DICTIONARY_MODEL,
        choice: 0,
        prompt: { kind: 'tokens', ids: [...prompt] },
        sampling: GREEDY,
        maxTokens: null,
        acceptedAtMs: Date.now(),
      },
    ]);
    const ids: number[] = [];
    let end = 'no end';
    let lastAtMs: number | undefined;
    const { signal } = new AbortController();
    for await (const events of dispatcher.readEvents(requestId, { signal, timeouts: TIMEOUTS })) {
      const nowMs = performance.now();
      for (const event of events) {
        if (event.kind === 'token') ids.push(event.id);
        if (event.kind === 'failed') end = event.error.message;
        if (event.kind === 'finished') end = '';
      }
      this.#tokens += events.length;
      if (lastAtMs !== undefined) this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - lastAtMs);
      lastAtMs = nowMs;
    }
    this.#answers++;
    if (end !== '' || ids.join() !== expected.join()) this.#wrong.push(`${end} ${ids} for ${expected}`);
  }
}
