import { DICTIONARY_MODEL } from '../support/test-host.ts';
import { type Chunk, readEvents } from './interactive-client.ts';

/** A question and what is answered to it where nothing is disturbed. */
export interface KnownAnswer {
  readonly question: string;
  readonly text: string;
  readonly tokens: number;
}

/** Times between two pieces of one answer that are shorter are not remembered. */
const SHORTEST_GAP_MS = 40;
const REQUEST_LIMIT_MS = 60_000;
/** Pause of a stream that was refused before it asks again. */
const REFUSED_PAUSE_MS = 200;

/** What became of one request. */
export interface StreamEnd {
  readonly text: string;
  readonly tokens: number;
  /** Null where the answer came to its end. */
  readonly failure: StreamFailure | null;
}

export interface StreamFailure {
  /** 200 where the answer had begun. */
  readonly status: number;
  readonly retryAfter: string | null;
  readonly message: string;
}

/** Time between two pieces of one answer, of `performance.now()`. */
interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Asks for one answer, streamed and greedy.
 *
 * @param arrived called when a piece of it has come
 */
export async function askStream(
  address: string,
  question: string,
  arrived: (nowMs: number) => void = () => {},
): Promise<StreamEnd> {
  let status = 0;
  let retryAfter: string | null = null;
  let text = '';
  let tokens = 0;
  try {
    const response = await fetch(`${address}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        model: DICTIONARY_MODEL,
        messages: [{ role: 'user', content: question }],
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      }),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    status = response.status;
    retryAfter = response.headers.get('retry-after');
    if (!response.ok) throw new Error(await response.text());
    for await (const chunk of readEvents(response)) {
      if (chunk.error !== undefined) throw new Error(JSON.stringify(chunk.error));
      tokens = chunk.usage?.completion_tokens ?? tokens;
      const piece = textOf(chunk);
      if (piece === '') continue;
      arrived(performance.now());
      text += piece;
    }
    return { text, tokens, failure: null };
  } catch (error) {
    return { text, tokens, failure: { status, retryAfter, message: String(error) } };
  }
}

const textOf = (chunk: Chunk): string => chunk.choices?.[0]?.delta?.content ?? '';

/** Asks every question by itself. */
export async function knownAnswers(address: string, questions: readonly string[]): Promise<KnownAnswer[]> {
  const known: KnownAnswer[] = [];
  for (const question of questions) {
    const { text, tokens, failure } = await askStream(address, question);
    if (failure !== null) throw new Error(`${question}: ${failure.message}`);
    known.push({ question, text, tokens });
  }
  return known;
}

/** Concurrent streams, each asking one known question after the other until they are told to end. */
export class SseStreams {
  readonly #address: string;
  readonly #known: readonly KnownAnswer[];
  readonly #streams: readonly Promise<void>[];
  #ending = false;
  #finished = 0;
  #pieces = 0;
  readonly #wrong: string[] = [];
  readonly #failures: StreamFailure[] = [];
  #gaps: Gap[] = [];
  /** When the last piece of each answer that is under way came. */
  readonly #lastAtMs = new Map<number, number>();

  constructor(address: string, streams: number, known: readonly KnownAnswer[]) {
    this.#address = address;
    this.#known = known;
    this.#streams = Array.from({ length: streams }, (_, stream) => this.#run(stream, streams));
  }

  /** Answers that came to their end. */
  get finished(): number {
    return this.#finished;
  }

  /** Pieces that came by now, of all streams. */
  get pieces(): number {
    return this.#pieces;
  }

  /** Answers that are other than where nothing is disturbed; of those that failed, their beginnings. */
  get wrong(): readonly string[] {
    return this.#wrong;
  }

  get failures(): readonly StreamFailure[] {
    return this.#failures;
  }

  /**
   * Longest time between two pieces of one answer, of those times that began before `untilMs` and ended after `fromMs`. What
   * ended before is forgotten, so the times are to be asked for in their order.
   */
  longestGapMs(fromMs: number, untilMs: number): number {
    this.#gaps = this.#gaps.filter((gap) => gap.toMs > fromMs);
    const nowMs = performance.now();
    const pending = [...this.#lastAtMs.values()].map((lastAtMs) => ({ fromMs: lastAtMs, toMs: nowMs }));
    const within = [...this.#gaps, ...pending].filter((gap) => gap.fromMs < untilMs && gap.toMs > fromMs);
    return Math.max(0, ...within.map((gap) => gap.toMs - gap.fromMs));
  }

  /** Lets the answers under way come to their end. */
  async end(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#streams);
  }

  async #run(stream: number, streams: number): Promise<void> {
    for (let turn = stream; !this.#ending; turn += streams) {
      await this.#ask(stream, this.#known[turn % this.#known.length]!);
    }
  }

  async #ask(stream: number, known: KnownAnswer): Promise<void> {
    const { text, tokens, failure } = await askStream(this.#address, known.question, (nowMs) => {
      const lastAtMs = this.#lastAtMs.get(stream);
      if (lastAtMs !== undefined && nowMs - lastAtMs > SHORTEST_GAP_MS) {
        this.#gaps.push({ fromMs: lastAtMs, toMs: nowMs });
      }
      this.#lastAtMs.set(stream, nowMs);
      this.#pieces++;
    });
    this.#lastAtMs.delete(stream);
    const isWrong =
      failure === null ? text !== known.text || tokens !== known.tokens : !known.text.startsWith(text);
    if (isWrong)
      this.#wrong.push(
        `${known.question}: ${JSON.stringify(text)} (${tokens}) for ${JSON.stringify(known.text)}`,
      );
    if (failure === null) {
      this.#finished++;
      return;
    }
    this.#failures.push(failure);
    await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
  }
}
