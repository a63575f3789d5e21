import { describe, expect, it } from 'vitest';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { GREEDY } from '../../test/support/generate.ts';
import { RecordingTracer } from '../../test/support/recording-tracer.ts';
import { PHASES } from './phase-times.ts';
import { SequenceTraces, TRACED_STEPS } from './sequence-traces.ts';
import type { AttentionReport, AttentionStatistics, EndedSequence } from './worker-protocol.ts';

const ACCEPTED_AT_MS = 1_000;
const TAKEN_AT_MS = 1_010;
/** A step of these tests takes as many milliseconds as it has phases that count, and each of its layers 3 bytes. */
const STEP_MS = PHASES.length - 1;
const LAYERS = 2;

const job = (requestId: string, more: Partial<SequenceJob> = {}): SequenceJob => ({
  requestId,
  model: 'm',
  choice: 0,
  prompt: { kind: 'text', text: 'a secret' },
  sampling: GREEDY,
  maxTokens: 10,
  acceptedAtMs: ACCEPTED_AT_MS,
  trace: 'the request',
  ...more,
});

const statisticsAfter = (steps: number): AttentionStatistics => ({
  slotsInUse: 1,
  waiting: 0,
  prefixCache: null,
  links: [],
  exchange: { layerSteps: steps * LAYERS, totalAMax: steps * LAYERS * 3, regimes: [] },
  steps,
  phasesMs: PHASES.map(() => steps),
  pace: null,
});

const started: TokenEvent = { kind: 'started', choice: 0, promptTokens: 5 };
const token = (position: number): TokenEvent => ({ kind: 'token', choice: 0, position, id: 1, text: 'x' });
const finished: TokenEvent = {
  kind: 'finished',
  choice: 0,
  reason: 'stop',
  text: '',
  promptTokens: 5,
  cachedTokens: 4,
  completionTokens: 2,
};
const ended = (requestId: string): EndedSequence => ({
  requestId,
  choice: 0,
  outcome: { state: 'finished', reason: 'stop', promptTokens: 5, completionTokens: 2 },
});

/** Traces of one instance, told of reports step by step. */
function traced() {
  const tracer = new RecordingTracer();
  const traces = new SequenceTraces(tracer, 'host-0');
  let steps = 0;
  return {
    tracer,
    traces,
    /** What the instance says after some more steps. */
    report(atMs: number, more: number, events: readonly TokenEvent[], ends: readonly EndedSequence[] = []) {
      const before = statisticsAfter(steps);
      steps += more;
      const report: Extract<AttentionReport, { kind: 'progress' }> = {
        kind: 'progress',
        events: events.map((event) => ['r', event] as const),
        ended: ends,
        statistics: statisticsAfter(steps),
        saidAtMs: atMs,
      };
      traces.take(report, before);
    },
    shown: () => tracer.spans.map(({ name, parent, startMs, endMs }) => [name, parent, startMs, endMs]),
  };
}

describe('the spans of a sequence', () => {
  it('are its wait, its prefill, its decoding, and steps below these', () => {
    const { traces, report, shown, tracer } = traced();
    traces.begin(job('r'), 0, TAKEN_AT_MS);
    report(1_100, 1, [started, token(0)]);
    report(1_120, 1, [token(1), finished], [ended('r')]);
    expect(shown()).toEqual([
      ['janus.sequence', 'the request', ACCEPTED_AT_MS, 1_120],
      ['janus.queue', 'janus.sequence', ACCEPTED_AT_MS, TAKEN_AT_MS],
      ['janus.prefill', 'janus.sequence', TAKEN_AT_MS, 1_100],
      ['janus.step', 'janus.prefill', 1_100 - STEP_MS, 1_100],
      ['janus.decode', 'janus.sequence', 1_100, 1_120],
      ['janus.step', 'janus.decode', 1_120 - STEP_MS, 1_120],
    ]);
    expect(tracer.spans[0]).toMatchObject({
      attributes: {
        'janus.request_id': 'r',
        'janus.model': 'm',
        'janus.attention_instance': 'host-0',
        'janus.state': 'finished',
        'janus.prompt_tokens': 5,
        'janus.cached_tokens': 4,
        'janus.completion_tokens': 2,
      },
      events: ['first token 1100'],
      failure: undefined,
    });
    expect(tracer.spans[3]!.attributes).toMatchObject({
      'janus.steps': 1,
      'janus.exchange_ms': 1,
      'janus.exchange.layer_steps': LAYERS,
      'janus.exchange.mean_a_max': 3,
    });
    expect(JSON.stringify(tracer.spans)).not.toContain('secret');
  });

  it('tell of a long prompt when it began and when it was done', () => {
    const { traces, report, shown } = traced();
    traces.begin(job('r'), 0, TAKEN_AT_MS);
    report(1_100, 1, [started]);
    report(1_200, 5, [token(0)]);
    expect(shown().slice(3, 5)).toEqual([
      ['janus.step', 'janus.prefill', 1_100 - STEP_MS, 1_100],
      ['janus.step', 'janus.prefill', 1_200 - 5 * STEP_MS, 1_200],
    ]);
  });

  it('never begin before what they belong to', () => {
    const { traces, report, tracer } = traced();
    traces.begin(job('r', { acceptedAtMs: TAKEN_AT_MS + 5 }), 0, TAKEN_AT_MS);
    report(TAKEN_AT_MS + 2, 1, [started, token(0)]);
    report(TAKEN_AT_MS + 3, 1, [token(1)]);
    for (const { startMs, endMs, parent } of tracer.spans) {
      const above = tracer.spans.find(({ name }) => name === parent);
      expect(startMs).toBeGreaterThanOrEqual(above?.startMs ?? TAKEN_AT_MS);
      expect(endMs ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(startMs);
    }
  });

  it('show no more steps than a few', () => {
    const { traces, report, tracer } = traced();
    traces.begin(job('r'), 0, TAKEN_AT_MS);
    for (let step = 0; step < 3 * TRACED_STEPS; step++) report(1_100 + step, 1, [token(step)]);
    expect(tracer.spans.filter(({ name }) => name === 'janus.step')).toHaveLength(TRACED_STEPS);
  });

  it('say that they failed, in no words of the client, when the instance is lost', () => {
    const { traces, report, tracer } = traced();
    traces.begin(job('r'), 3, TAKEN_AT_MS);
    report(1_100, 1, [token(3)]);
    traces.fail(1_150);
    expect(tracer.spans.every(({ endMs }) => endMs !== undefined)).toBe(true);
    expect(tracer.spans[0]).toMatchObject({ failure: 'failed', attributes: { 'janus.resumed_tokens': 3 } });
    report(1_200, 1, [token(4)], [ended('r')]);
    expect(tracer.spans[0]!.endMs).toBe(1_150);
  });
});

it('choices of one request are told apart', () => {
  const { traces, report, tracer } = traced();
  for (const choice of [0, 1]) traces.begin(job('r', { choice }), 0, TAKEN_AT_MS);
  report(1_100, 1, [{ ...started, choice: 1 }], [ended('r')]);
  const sequences = tracer.spans.filter(({ name }) => name === 'janus.sequence');
  expect(sequences.map(({ endMs }) => endMs)).toEqual([1_100, undefined]);
});

it('a sequence that its gateway does not trace is not traced', () => {
  const { traces, report, tracer } = traced();
  const { trace: _, ...untraced } = job('r');
  traces.begin(untraced, 0, TAKEN_AT_MS);
  report(1_100, 1, [started, token(0)], [ended('r')]);
  expect(tracer.spans).toEqual([]);
});
