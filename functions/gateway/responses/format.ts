import type { RequestFailure } from '../../../shared/protocol/token-event.ts';
import type { AnswerEvent, Usage } from '../generation/journal.ts';
import { type AnsweredCall, AnswerParts } from './answer-parts.ts';

/** What all objects of one answer have in common. */
export interface AnswerHead {
  readonly requestId: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly choices: number;
  readonly includeUsage: boolean;
  readonly echo: Readonly<Record<string, unknown>>;
  /** Names of the functions that the answers may call. */
  readonly callable: readonly string[];
  /** Whether log probabilities were asked for. */
  readonly logprobs: boolean;
}

/** Puts events into the objects of one kind of answer. It keeps state: one instance per request. */
export interface AnswerFormat {
  /** How a stream's objects go over the wire: bare and closed by `[DONE]`, or each under the name in its `type`. */
  readonly wire: 'bare' | 'named';
  /** Stream objects for one event; none when the event tells the client nothing. */
  readonly chunks: (event: AnswerEvent) => readonly object[];
  /** The objects that end a stream. */
  readonly lastChunks: (usage: Usage) => readonly object[];
  /** The object that ends a stream which cannot go on. */
  readonly failureChunk: (failure: RequestFailure) => object;
  /** The whole answer from all of its events. */
  readonly whole: (events: readonly AnswerEvent[], usage: Usage) => object;
}

/** One choice of a whole answer, put together from its events. */
export interface WholeChoice<Logprob> {
  readonly index: number;
  readonly text: string;
  readonly calls: readonly AnsweredCall[];
  readonly finishReason: string | null;
  readonly logprobs: readonly Logprob[];
}

/** @param logprobOf the event's log probability in the form of the answer; undefined where it has none */
export function gatherChoices<Logprob>(
  head: AnswerHead,
  events: readonly AnswerEvent[],
  logprobOf: (event: AnswerEvent) => Logprob | undefined,
): WholeChoice<Logprob>[] {
  const parts = new AnswerParts(head);
  const gathered = Array.from({ length: head.choices }, () => ({
    texts: [] as string[],
    calls: [] as AnsweredCall[],
    logprobs: [] as Logprob[],
    reason: null as string | null,
  }));
  for (const event of events) {
    if (event.kind === 'started') continue;
    const choice = gathered[event.choice];
    for (const part of parts.of(event)) {
      if (part.kind === 'text') choice.texts.push(part.text);
      else choice.calls.push(part.call);
    }
    const logprob = logprobOf(event);
    if (logprob !== undefined) choice.logprobs.push(logprob);
    if (event.kind === 'finished') choice.reason = parts.finishReason(event.choice, event.reason);
  }
  return gathered.map(({ texts, calls, logprobs, reason }, index) => ({
    index,
    text: texts.join(''),
    calls,
    finishReason: reason,
    logprobs,
  }));
}
