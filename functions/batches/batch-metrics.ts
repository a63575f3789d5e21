import type { Usage } from '../gateway/generation/journal.ts';
import type { MetricFamily } from '../gateway/metrics/exposition.ts';
import { createCounter } from '../gateway/metrics/series.ts';

/** What this process counted of batches' lines since it started: beside the requests that somebody waits for, not among them. */
export interface BatchMetrics {
  /** Counts a line whose answer was recorded. */
  readonly answered: (model: string, usage: Usage) => void;
  /** Counts a line that ended with an error. */
  readonly failed: (model: string, status: number) => void;
  readonly families: () => readonly MetricFamily[];
}

const MODEL = ['model_name'];

export function createBatchMetrics(): BatchMetrics {
  const counter = (name: string, help: string, labels: readonly string[] = MODEL) =>
    createCounter({ name: `janus:batch_${name}`, help, labels });
  const successes = counter('line_success_total', 'Lines of batches that were answered.');
  const failures = counter('line_failures_total', 'Lines of batches that failed, by HTTP status.', [
    ...MODEL,
    'code',
  ]);
  const promptTokens = counter(
    'prompt_tokens_total',
    "Tokens of prompts of batches' lines, as in the usage.",
  );
  const generationTokens = counter(
    'generation_tokens_total',
    "Tokens of answers to batches' lines, as in the usage.",
  );
  const all = [successes, failures, promptTokens, generationTokens];

  return {
    answered(model, usage) {
      successes.of(model).add(1);
      promptTokens.of(model).add(usage.prompt_tokens);
      generationTokens.of(model).add(usage.completion_tokens);
    },
    failed: (model, status) => failures.of(model, String(status)).add(1),
    families: () => all.map((metric) => metric.family()),
  };
}
