import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import type { Span, SpanAttributes, Tracer } from '../../shared/tracing/tracer.ts';
import { PHASES } from './phase-times.ts';
import type { AttentionReport, AttentionStatistics, EndedSequence } from './worker-protocol.ts';

/** Steps of a sequence that get a span of their own, from its first on. */
export const TRACED_STEPS = 8;

type Progress = Extract<AttentionReport, { kind: 'progress' }>;

/** What an instance did since its report before: one step, or some chunks of prompts and the step that ended them. */
interface StepFacts {
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
}

/** The spans of one attempt at one sequence: its wait, its prefill, its decoding, and its first steps below these. */
class TracedSequence {
  readonly choice: number;
  readonly #whole: Span;
  /** Prefill, then decoding. */
  #phase: Span;
  #phaseStartMs: number;
  #isDecoding = false;
  #lastStep: StepFacts | undefined;
  #steps = 0;
  #cachedTokens = 0;

  constructor(whole: Span, job: SequenceJob, takenAtMs: number) {
    this.choice = job.choice;
    this.#whole = whole;
    whole.child('janus.queue', Math.min(job.acceptedAtMs, takenAtMs)).end(takenAtMs);
    this.#phase = whole.child('janus.prefill', takenAtMs);
    this.#phaseStartMs = takenAtMs;
  }

  /** A step told of this sequence; to be called before what it told, any number of times. */
  step(facts: StepFacts): void {
    if (this.#lastStep === facts || this.#steps === TRACED_STEPS) return;
    this.#lastStep = facts;
    this.#steps++;
    // Times of reports are whole milliseconds, and a step may have begun before the sequence came.
    const startMs = Math.min(facts.endMs, Math.max(facts.startMs, this.#phaseStartMs));
    this.#phase.child('janus.step', startMs).end(facts.endMs, facts.attributes);
  }

  token(atMs: number): void {
    if (this.#isDecoding) return;
    this.#isDecoding = true;
    this.#phase.end(atMs);
    this.#whole.event('first token', atMs);
    this.#phase = this.#whole.child('janus.decode', atMs);
    this.#phaseStartMs = atMs;
  }

  cached(tokens: number): void {
    this.#cachedTokens = tokens;
  }

  end(atMs: number, { state, promptTokens, completionTokens }: Omit<SequenceOutcome, 'reason'>): void {
    this.#phase.end(atMs);
    const tokens = {
      'janus.prompt_tokens': promptTokens,
      'janus.cached_tokens': this.#cachedTokens,
      'janus.completion_tokens': completionTokens,
    };
    // Why it failed may repeat what the client has sent.
    this.#whole.end(atMs, { 'janus.state': state, ...tokens }, state === 'failed' ? 'failed' : undefined);
  }
}

/**
 * Traces those sequences of one attention instance that their gateway has sampled. It works on the host's thread, from what
 * the instance reports anyway; while none is sampled, a report costs one look at a map.
 */
export class SequenceTraces {
  readonly #tracer: Tracer;
  readonly #instance: string;
  readonly #open = new Map<string, TracedSequence[]>();

  constructor(tracer: Tracer, instance: string) {
    this.#tracer = tracer;
    this.#instance = instance;
  }

  /** A sequence is handed to the instance. @param resumedTokens answer tokens that an earlier attempt has sent */
  begin(job: SequenceJob, resumedTokens: number, nowMs: number): void {
    const { trace, requestId, model, choice, acceptedAtMs } = job;
    if (trace === undefined) return;
    const whole = this.#tracer.start({
      name: 'janus.sequence',
      kind: 'consumer',
      startMs: Math.min(acceptedAtMs, nowMs),
      parent: trace,
      attributes: {
        'janus.request_id': requestId,
        'janus.model': model,
        'janus.choice': choice,
        'janus.attention_instance': this.#instance,
        'janus.resumed_tokens': resumedTokens,
      },
    });
    if (whole === null) return;
    const ofRequest = this.#open.get(requestId) ?? [];
    ofRequest.push(new TracedSequence(whole, job, nowMs));
    this.#open.set(requestId, ofRequest);
  }

  /** @param before statistics of the report before this one */
  take(report: Progress, before: AttentionStatistics): void {
    if (this.#open.size === 0) return;
    const { saidAtMs } = report;
    let step: StepFacts | undefined;
    for (const [requestId, event] of report.events) {
      const sequence = this.#find(requestId, event.choice);
      if (sequence === undefined || event.kind === 'failed') continue;
      if (event.kind === 'finished') {
        sequence.cached(event.cachedTokens);
        continue;
      }
      step ??= stepFacts(report, before);
      sequence.step(step);
      if (event.kind === 'token') sequence.token(saidAtMs);
    }
    for (const ended of report.ended) this.#end(ended, saidAtMs);
  }

  /** The instance is lost, and its sequences with it. */
  fail(nowMs: number): void {
    const outcome = { state: 'failed', promptTokens: 0, completionTokens: 0 } as const;
    for (const sequence of [...this.#open.values()].flat()) sequence.end(nowMs, outcome);
    this.#open.clear();
  }

  #find(requestId: string, choice: number): TracedSequence | undefined {
    return this.#open.get(requestId)?.find((sequence) => sequence.choice === choice);
  }

  #end({ requestId, choice, outcome }: EndedSequence, atMs: number): void {
    const sequence = this.#find(requestId, choice);
    if (sequence === undefined) return;
    sequence.end(atMs, outcome);
    const others = this.#open.get(requestId)!.filter((other) => other !== sequence);
    if (others.length === 0) this.#open.delete(requestId);
    else this.#open.set(requestId, others);
  }
}

/** What lies between two reports. Handing over the one before is counted with it, but was over when it was told. */
function stepFacts({ statistics, saidAtMs }: Progress, before: AttentionStatistics): StepFacts {
  const tookMs = (phase: number) => (statistics.phasesMs[phase] ?? 0) - (before.phasesMs[phase] ?? 0);
  const phases = PHASES.map((phase, index) => [phase, tookMs(index)] as const).filter(
    ([phase]) => phase !== 'publish',
  );
  const layerSteps = statistics.exchange.layerSteps - before.exchange.layerSteps;
  const totalAMax = statistics.exchange.totalAMax - before.exchange.totalAMax;
  return {
    startMs: saidAtMs - phases.reduce((sum, [, ms]) => sum + ms, 0),
    endMs: saidAtMs,
    attributes: {
      'janus.steps': statistics.steps - before.steps,
      ...Object.fromEntries(phases.map(([phase, ms]) => [`janus.${phase}_ms`, ms])),
      'janus.exchange.layer_steps': layerSteps,
      'janus.exchange.mean_a_max': layerSteps === 0 ? 0 : totalAMax / layerSteps,
      'janus.exchange.messages': total(statistics, 'messages') - total(before, 'messages'),
      'janus.exchange.bytes': total(statistics, 'bytes') - total(before, 'bytes'),
    },
  };
}

const total = ({ links }: AttentionStatistics, count: 'messages' | 'bytes'): number =>
  links.reduce((sum, link) => sum + link[count], 0);
