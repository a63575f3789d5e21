import { FIRST_TOKEN_BUCKETS_S, INTER_TOKEN_BUCKETS_S, REQUEST_BUCKETS_S } from './buckets.ts';
import type { MetricFamily } from './exposition.ts';
import { type Counter, createCounter, createHistogram, type Histogram } from './series.ts';

export type FinishReason = 'stop' | 'length';

/** The series of one model. Sequences, of which a request has one per choice, count one by one, as vLLM counts them. */
export interface ModelSeries {
  readonly queueTime: Histogram;
  readonly timeToFirstToken: Histogram;
  /** Tells by how many seconds the prediction of a request's first token was wrong. There is a series once one was predicted. */
  readonly firstTokenError: (seconds: number) => void;
  readonly interTokenLatency: Histogram;
  readonly endToEnd: Histogram;
  readonly promptTokens: Counter;
  readonly generationTokens: Counter;
  readonly successes: Readonly<Record<FinishReason, Counter>>;
}

/** What this process counted of its requests since it started. */
export interface RequestMetrics {
  /** @param model one that the registry knows, so that clients cannot make series */
  readonly of: (model: string) => ModelSeries;
  /** Counts a request that failed. @param model '' where the registry knows none of that name */
  readonly failed: (model: string, status: number) => void;
  readonly families: () => readonly MetricFamily[];
}

const MODEL = ['model_name'];

export function createRequestMetrics(): RequestMetrics {
  const histogram = (name: string, help: string, buckets: readonly number[]) =>
    createHistogram({ name: `janus:${name}`, help, labels: MODEL }, buckets);
  const counter = (name: string, help: string, labels: readonly string[] = MODEL) =>
    createCounter({ name: `janus:${name}`, help, labels });

  const firstToken = histogram(
    'time_to_first_token_seconds',
    'Seconds from the acceptance of a request to the first token of a sequence.',
    FIRST_TOKEN_BUCKETS_S,
  );
  const firstTokenError = histogram(
    'time_to_first_token_prediction_error_seconds',
    'Seconds between the predicted first token of a request and its first one, whichever came earlier.',
    FIRST_TOKEN_BUCKETS_S,
  );
  const interToken = histogram(
    'inter_token_latency_seconds',
    'Seconds between two tokens of a sequence; those that are read together share their time evenly.',
    INTER_TOKEN_BUCKETS_S,
  );
  const endToEnd = histogram(
    'e2e_request_latency_seconds',
    'Seconds from the acceptance of a request to the end of a sequence.',
    REQUEST_BUCKETS_S,
  );
  const queueTime = histogram(
    'request_queue_time_seconds',
    'Seconds from the acceptance of a request until a sequence held a KV slot.',
    REQUEST_BUCKETS_S,
  );
  const promptTokens = counter('prompt_tokens_total', 'Tokens of prompts, as in the usage.');
  const generationTokens = counter('generation_tokens_total', 'Tokens of answers, as in the usage.');
  const successes = counter('request_success_total', 'Sequences that were generated to their end.', [
    ...MODEL,
    'finished_reason',
  ]);
  const failures = counter(
    'request_failures_total',
    'Requests that failed, by HTTP status, also where the failure came amid a stream; 499: the client hung up.',
    [...MODEL, 'code'],
  );
  const all = [
    firstToken,
    firstTokenError,
    interToken,
    endToEnd,
    queueTime,
    promptTokens,
    generationTokens,
    successes,
    failures,
  ];

  return {
    of: (model) => ({
      queueTime: queueTime.of(model),
      timeToFirstToken: firstToken.of(model),
      firstTokenError: (seconds) => firstTokenError.of(model).observe(seconds),
      interTokenLatency: interToken.of(model),
      endToEnd: endToEnd.of(model),
      promptTokens: promptTokens.of(model),
      generationTokens: generationTokens.of(model),
      successes: { stop: successes.of(model, 'stop'), length: successes.of(model, 'length') },
    }),
    failed: (model, status) => failures.of(model, String(status)).add(1),
    families: () => all.map((metric) => metric.family()),
  };
}
