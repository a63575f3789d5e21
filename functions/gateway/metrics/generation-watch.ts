import type { Clock } from '../../clock.ts';
import type { AnswerEvent } from '../generation/journal.ts';
import type { FinishReason, ModelSeries } from './request-metrics.ts';

export interface Generation {
  /** Unix time in milliseconds. */
  readonly acceptedAtMs: number;
  /** Number of choices in all. */
  readonly choices: number;
  /** As many choices in a row share a prompt, whose tokens count once. */
  readonly choicesPerPrompt: number;
  /** Predicted time to the first token; absent where none was predicted. */
  readonly predictedMs?: number;
}

/** What is known of a generation so far. */
export interface GenerationFacts {
  /** From its acceptance until the first sequence held a KV slot, and until its first token; null before. */
  queueMs: number | null;
  firstTokenMs: number | null;
  promptTokens: number;
  completionTokens: number;
  /** By choice; null where one has not ended. */
  readonly finishReasons: (FinishReason | null)[];
}

export interface GenerationWatch {
  readonly facts: Readonly<GenerationFacts>;
  /** Events of one read, in order and without doubles. An empty array changes nothing. */
  readonly take: (events: readonly AnswerEvent[]) => void;
}

/** One choice. */
interface Sequence {
  tokens: number;
  /** Tokens of the read that is looked at. */
  fresh: number;
  lastTokenAtMs: number;
}

type Finished = Extract<AnswerEvent, { kind: 'finished' }>;

const MS_PER_S = 1_000;

/** Times the sequences of one generation and counts their tokens. A token costs an addition, and a read one more per choice. */
export function createGenerationWatch(
  clock: Clock,
  series: ModelSeries,
  { acceptedAtMs, choices, choicesPerPrompt, predictedMs }: Generation,
): GenerationWatch {
  const sequences: Sequence[] = Array.from({ length: choices }, () => ({
    tokens: 0,
    fresh: 0,
    lastTokenAtMs: 0,
  }));
  const countedPrompts = new Set<number>();
  const facts: GenerationFacts = {
    queueMs: null,
    firstTokenMs: null,
    promptTokens: 0,
    completionTokens: 0,
    finishReasons: new Array<FinishReason | null>(choices).fill(null),
  };

  const start = (choice: number, promptTokens: number, waitedMs: number): void => {
    series.queueTime.observe(waitedMs / MS_PER_S);
    facts.queueMs ??= waitedMs;
    const prompt = Math.floor(choice / choicesPerPrompt);
    if (countedPrompts.has(prompt)) return;
    countedPrompts.add(prompt);
    series.promptTokens.add(promptTokens);
    facts.promptTokens += promptTokens;
  };

  const countTokens = (tokens: number): void => {
    series.generationTokens.add(tokens);
    facts.completionTokens += tokens;
  };

  const settle = (sequence: Sequence, nowMs: number): void => {
    const { tokens, fresh, lastTokenAtMs } = sequence;
    if (fresh === 0) return;
    if (tokens === 0) {
      const firstTokenMs = nowMs - acceptedAtMs;
      series.timeToFirstToken.observe(firstTokenMs / MS_PER_S);
      if (facts.firstTokenMs === null && predictedMs !== undefined) {
        series.firstTokenError(Math.abs(firstTokenMs - predictedMs) / MS_PER_S);
      }
      facts.firstTokenMs ??= firstTokenMs;
      series.interTokenLatency.observe(0, fresh - 1);
    } else {
      series.interTokenLatency.observe((nowMs - lastTokenAtMs) / MS_PER_S / fresh, fresh);
    }
    countTokens(fresh);
    sequence.tokens += fresh;
    sequence.fresh = 0;
    sequence.lastTokenAtMs = nowMs;
  };

  const finish = (
    sequence: Sequence,
    { choice, reason, completionTokens }: Finished,
    nowMs: number,
  ): void => {
    settle(sequence, nowMs);
    countTokens(Math.max(0, completionTokens - sequence.tokens));
    series.endToEnd.observe((nowMs - acceptedAtMs) / MS_PER_S);
    // The journal makes a failure of a sequence that was cancelled.
    if (reason === 'cancelled') return;
    series.successes[reason].add(1);
    facts.finishReasons[choice] = reason;
  };

  return {
    facts,
    take(events) {
      const nowMs = clock.nowMs();
      for (const event of events) {
        const sequence = sequences[event.choice]!;
        if (event.kind === 'token') sequence.fresh += 1;
        else if (event.kind === 'started') start(event.choice, event.promptTokens, nowMs - acceptedAtMs);
        else finish(sequence, event, nowMs);
      }
      for (const sequence of sequences) settle(sequence, nowMs);
    },
  };
}
