import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { createDispatcher, type Dispatcher } from '../../functions/dispatcher/dispatcher.ts';
import type { Prompt, SamplingSettings, SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { DICTIONARY_MODEL } from './test-host.ts';

export const GREEDY: SamplingSettings = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  seed: 0,
  logitBias: [],
  stop: [],
  stopTokenIds: [],
  ignoreEndOfSequence: false,
  topLogprobs: null,
};

type Token = Extract<TokenEvent, { kind: 'token' }>;
type End = Extract<TokenEvent, { kind: 'finished' | 'failed' }>;

/** One generated sequence, as its token stream tells. */
export interface Generated {
  readonly ids: readonly number[];
  readonly text: string;
  readonly tokens: readonly Token[];
  readonly end: End;
  /** `performance.now()` when the first and the last token had been read. */
  readonly firstTokenAtMs: number;
  readonly lastTokenAtMs: number;
}

/** A request as tests write it. */
export interface Ask {
  readonly prompt: Prompt;
  readonly sampling?: Partial<SamplingSettings>;
  readonly maxTokens?: number;
  readonly requestId?: string;
  /** Served name; the shipped model's by default. */
  readonly model?: string;
}

export const define = (word: string): Prompt => ({
  kind: 'chat',
  messages: [{ role: 'user', content: `Define "${word}".` }],
});

/** Sends sequences to the pools of the shipped model through the real dispatcher and queue. */
export class TestClient {
  readonly redis: Redis;
  readonly dispatcher: Dispatcher;

  constructor(redisUrl: string) {
    this.redis = new Redis(redisUrl);
    this.dispatcher = createDispatcher(this.redis);
  }

  async generate(ask: Ask): Promise<Generated> {
    const job: SequenceJob = {
      requestId: ask.requestId ?? randomUUID(),
      model: ask.model ?? DICTIONARY_MODEL,
      choice: 0,
      prompt: ask.prompt,
      sampling: { ...GREEDY, ...ask.sampling },
      maxTokens: ask.maxTokens ?? null,
      acceptedAtMs: Date.now(),
    };
    await this.dispatcher.dispatch([job]);
    return this.read(job.requestId);
  }

  /** Reads the stream of a request with one choice to its end. */
  async read(requestId: string): Promise<Generated> {
    const timeouts = { queueWaitMs: 60_000, silenceMs: 60_000, overallMs: 120_000 };
    const { signal } = new AbortController();
    const tokens: Token[] = [];
    let firstTokenAtMs = 0;
    let lastTokenAtMs = 0;
    for await (const events of this.dispatcher.readEvents(requestId, { signal, timeouts })) {
      for (const event of events) {
        if (event.kind === 'token') {
          tokens.push(event);
          lastTokenAtMs = performance.now();
          firstTokenAtMs ||= lastTokenAtMs;
        }
        if (event.kind !== 'finished' && event.kind !== 'failed') continue;
        const held = event.kind === 'finished' ? event.text : '';
        const text = tokens.map((token) => token.text).join('') + held;
        const ids = tokens.map((token) => token.id);
        return { ids, text, tokens, end: event, firstTokenAtMs, lastTokenAtMs };
      }
    }
    throw new Error('The event stream has no end of its own.');
  }

  async close(): Promise<void> {
    await this.dispatcher.close();
    this.redis.disconnect();
  }
}
