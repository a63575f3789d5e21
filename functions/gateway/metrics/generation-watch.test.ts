import { expect, test } from 'vitest';
import type { AnswerEvent } from '../generation/journal.ts';
import { createGenerationWatch } from './generation-watch.ts';
import { createRequestMetrics } from './request-metrics.ts';

const ACCEPTED_AT_MS = 1_000_000;

/** A watch under a clock that the test sets, and sums, counts and totals of what it recorded. */
function watched(choices: number, choicesPerPrompt: number) {
  const metrics = createRequestMetrics();
  let nowMs = ACCEPTED_AT_MS;
  const generation = { acceptedAtMs: ACCEPTED_AT_MS, choices, choicesPerPrompt };
  const watch = createGenerationWatch({ nowMs: () => nowMs }, metrics.of('m'), generation);
  return {
    watch,
    takeAt(afterMs: number, ...events: AnswerEvent[]) {
      nowMs = ACCEPTED_AT_MS + afterMs;
      watch.take(events);
    },
    recorded: () =>
      Object.fromEntries(
        metrics.families().flatMap(({ name, samples }) =>
          samples
            .filter(({ suffix }) => suffix !== '_bucket')
            .map(({ suffix = '', labels, value }) => {
              const more = labels.slice(1).map(([, label]) => ` ${label}`);
              return [`${name.slice('janus:'.length)}${suffix}${more.join('')}`, value];
            }),
        ),
      ),
  };
}

const started = (choice: number, promptTokens: number): AnswerEvent => ({
  kind: 'started',
  choice,
  promptTokens,
});
const token = (choice: number, position: number): AnswerEvent => ({
  kind: 'token',
  choice,
  position,
  id: 1,
  text: 'x',
});
const finished = (choice: number, completionTokens: number, reason: 'stop' | 'length'): AnswerEvent => ({
  kind: 'finished',
  choice,
  reason,
  text: '',
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens,
});

test('tokens that are read together share the time since the one before', () => {
  const { takeAt, recorded, watch } = watched(1, 1);
  takeAt(250, started(0, 7));
  takeAt(500, token(0, 0));
  takeAt(600);
  takeAt(2_000, token(0, 1), token(0, 2), token(0, 3));
  expect(watch.facts).toMatchObject({ queueMs: 250, firstTokenMs: 500, completionTokens: 4 });
  takeAt(3_000, token(0, 4), finished(0, 6, 'length'));
  expect(recorded()).toEqual({
    time_to_first_token_seconds_sum: 0.5,
    time_to_first_token_seconds_count: 1,
    inter_token_latency_seconds_sum: 2.5,
    inter_token_latency_seconds_count: 4,
    e2e_request_latency_seconds_sum: 3,
    e2e_request_latency_seconds_count: 1,
    request_queue_time_seconds_sum: 0.25,
    request_queue_time_seconds_count: 1,
    prompt_tokens_total: 7,
    // One more than there were events of tokens: the usage decides.
    generation_tokens_total: 6,
    'request_success_total stop': 0,
    'request_success_total length': 1,
  });
  expect(watch.facts).toEqual({
    queueMs: 250,
    firstTokenMs: 500,
    promptTokens: 7,
    completionTokens: 6,
    finishReasons: ['length'],
  });
});

test('choices count one by one, but a prompt once for all of its choices', () => {
  const { takeAt, recorded, watch } = watched(4, 2);
  takeAt(125, started(0, 3), started(1, 3), started(3, 5));
  takeAt(375, started(2, 5), token(1, 0), token(1, 1));
  takeAt(500, token(0, 0), finished(0, 1, 'stop'), finished(1, 2, 'stop'));
  expect(recorded()).toMatchObject({
    request_queue_time_seconds_count: 4,
    request_queue_time_seconds_sum: 0.75,
    time_to_first_token_seconds_count: 2,
    time_to_first_token_seconds_sum: 0.875,
    inter_token_latency_seconds_count: 1,
    inter_token_latency_seconds_sum: 0,
    e2e_request_latency_seconds_count: 2,
    prompt_tokens_total: 8,
    generation_tokens_total: 3,
    'request_success_total stop': 2,
  });
  expect(watch.facts).toMatchObject({
    queueMs: 125,
    firstTokenMs: 375,
    promptTokens: 8,
    finishReasons: ['stop', 'stop', null, null],
  });
});
