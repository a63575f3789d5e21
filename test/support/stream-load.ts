import { randomUUID } from 'node:crypto';
import { GREEDY, type TestClient } from './generate.ts';
import { DECIDED_GAP, GOLDEN_CASES, type GoldenCase } from './golden.ts';
import { DICTIONARY_MODEL } from './test-host.ts';

/** A prompt and its only right answer. */
export type KnownAnswer = Pick<GoldenCase, 'prompt_ids' | 'generated_ids'>;

/** Prompts whose answers are decided by more than rounding. */
const CASES: readonly KnownAnswer[] = GOLDEN_CASES.filter((known) => known.smallest_gap > 10 * DECIDED_GAP);
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
  readonly #cases: readonly KnownAnswer[];
  readonly #streams: readonly Promise<void>[];
  #ending = false;
  #answers = 0;
  readonly #wrong: string[] = [];
  #longestGapMs = 0;
  readonly #gapsMs: number[] = [];
  #tokens = 0;

  /** @param cases default: the reference's */
  constructor(client: TestClient, streams: number, cases = CASES) {
    this.#client = client;
    this.#cases = cases;
    this.#streams = Array.from({ length: streams }, (_, stream) => this.#run(stream, streams));
  }

  /** Tokens that came by now, of all streams. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Forgets the longest gap so far. */
  forgetGaps(): void {
    this.#longestGapMs = 0;
  }

  /** Times between two tokens of one stream since they were taken last, of all streams. */
  takeGaps(): number[] {
    return this.#gapsMs.splice(0);
  }

  /** Lets the answers under way come to their end. */
  async end(): Promise<StreamResult> {
    this.#ending = true;
    await Promise.all(this.#streams);
    return { answers: this.#answers, wrong: this.#wrong, longestGapMs: this.#longestGapMs };
  }

  async #run(stream: number, streams: number): Promise<void> {
    for (let turn = stream; !this.#ending; turn += streams) {
      await this.#ask(this.#cases[turn % this.#cases.length]!);
    }
  }

  async #ask({ prompt_ids: prompt, generated_ids: expected }: KnownAnswer): Promise<void> {
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
    let end: string | undefined;
    let lastAtMs: number | undefined;
    let tokenAtMs: number | undefined;
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
      if (events.some(({ kind }) => kind === 'token')) {
        if (tokenAtMs !== undefined) this.#gapsMs.push(nowMs - tokenAtMs);
        tokenAtMs = nowMs;
      }
      if (end !== undefined) break;
    }
    this.#answers++;
    if (end !== '' || ids.join() !== expected.join()) this.#wrong.push(`${end} ${ids} for ${expected}`);
  }
}
