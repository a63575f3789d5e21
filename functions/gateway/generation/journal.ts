import type { RequestFailure, TokenEvent } from '../../../shared/protocol/token-event.ts';

/** The events that carry an answer. */
export type AnswerEvent = Exclude<TokenEvent, { kind: 'failed' }>;

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: {
    /** Prompt tokens that the pool kept from earlier requests and did not compute. */
    readonly cached_tokens: number;
  };
}

/** What one read of the stream brought. */
export interface Progress {
  readonly events: readonly AnswerEvent[];
  /** Set when a choice failed, and with it the request; `events` came before. */
  readonly failure: RequestFailure | null;
}

/** Reads the journal of one request: drops what is told twice, notices what is missing, knows when all is told. */
export interface JournalReader {
  /** @throws {Error} when a token is missing: an answer with a hole must not look like an answer */
  readonly read: (events: readonly TokenEvent[]) => Progress;
  readonly done: () => boolean;
  /** Of what was read so far. */
  readonly usage: () => Usage;
}

interface Choice {
  started: boolean;
  finished: boolean;
  /** Tokens read. */
  tokens: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

const CANCELLED: RequestFailure = {
  status: 503,
  type: 'server_error',
  code: 'cancelled',
  param: null,
  message: 'The request was cancelled before its answer was complete; send it again',
};

/**
 * A host that takes over a sequence announces it again, and the host that lost it may still write a last token. So
 * `started` counts once, a position that was read already is dropped, and nothing counts after `finished`.
 */
function isNews(choice: Choice, event: AnswerEvent): boolean {
  if (choice.finished) return false;
  if (event.kind === 'started') return !choice.started;
  if (event.kind === 'finished' || event.position === choice.tokens) return true;
  if (event.position < choice.tokens) return false;
  throw new Error(
    `Choice ${event.choice} lacks token ${choice.tokens}: its journal goes on at ${event.position}`,
  );
}

function note(choice: Choice, event: AnswerEvent): void {
  if (event.kind === 'started') {
    choice.started = true;
    choice.promptTokens = event.promptTokens;
  } else if (event.kind === 'token') {
    choice.tokens += 1;
    choice.completionTokens += 1;
  } else {
    choice.finished = true;
    choice.promptTokens = event.promptTokens;
    choice.cachedTokens = event.cachedTokens;
    choice.completionTokens = event.completionTokens;
  }
}

/** A prompt counts once, and as computed where one of its choices computed it for the others. */
function usageOf(choices: readonly Choice[], choicesPerPrompt: number): Usage {
  let promptTokens = 0;
  let cachedTokens = 0;
  for (let first = 0; first < choices.length; first += choicesPerPrompt) {
    const ofPrompt = choices.slice(first, first + choicesPerPrompt);
    promptTokens += Math.max(...ofPrompt.map((choice) => choice.promptTokens));
    cachedTokens += Math.min(...ofPrompt.map((choice) => choice.cachedTokens));
  }
  const completionTokens = choices.reduce((sum, choice) => sum + choice.completionTokens, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/**
 * @param choices number of choices in all
 * @param choicesPerPrompt n: as many choices in a row share a prompt, which counts once in the usage
 */
export function createJournalReader(choices: number, choicesPerPrompt: number): JournalReader {
  const states: Choice[] = Array.from({ length: choices }, () => ({
    started: false,
    finished: false,
    tokens: 0,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
  }));
  let unfinished = choices;

  return {
    read(events) {
      const news: AnswerEvent[] = [];
      for (const event of events) {
        const choice = states[event.choice];
        if (choice === undefined)
          throw new Error(`The journal tells of choice ${event.choice} of ${choices}`);
        if (event.kind === 'failed') {
          if (choice.finished) continue;
          return { events: news, failure: event.error };
        }
        if (!isNews(choice, event)) continue;
        if (event.kind === 'finished' && event.reason === 'cancelled')
          return { events: news, failure: CANCELLED };
        note(choice, event);
        if (event.kind === 'finished') unfinished -= 1;
        news.push(event);
      }
      return { events: news, failure: null };
    },
    done: () => unfinished === 0,
    usage: () => usageOf(states, choicesPerPrompt),
  };
}
