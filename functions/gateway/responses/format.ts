import type { RequestFailure } from '../../../shared/protocol/token-event.ts';
import type { AnswerEvent, Usage } from '../generation/journal.ts';

/** What all objects of one answer have in common. */
export interface AnswerHead {
  readonly requestId: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly choices: number;
  readonly includeUsage: boolean;
  readonly echo: Readonly<Record<string, unknown>>;
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
  readonly finishReason: string | null;
  readonly logprobs: readonly Logprob[];
}

/** @param logprobOf the event's log probability in the form of the answer; undefined where it has none */
export function gatherChoices<Logprob>(
  choices: number,
  events: readonly AnswerEvent[],
  logprobOf: (event: AnswerEvent) => Logprob | undefined,
): WholeChoice<Logprob>[] {
  const texts: string[][] = Array.from({ length: choices }, () => []);
  const logprobs: Logprob[][] = Array.from({ length: choices }, () => []);
  const reasons: (string | null)[] = new Array(choices).fill(null);
  for (const event of events) {
    if (event.kind === 'started') continue;
    texts[event.choice].push(event.text);
    const logprob = logprobOf(event);
    if (logprob !== undefined) logprobs[event.choice].push(logprob);
    if (event.kind === 'finished') reasons[event.choice] = event.reason;
  }
  return texts.map((parts, index) => ({
    index,
    text: parts.join(''),
    finishReason: reasons[index],
    logprobs: logprobs[index],
  }));
}
