import { type DecodeTurn, planStep, type StepLimits } from '../../shared/batching/plan-step.ts';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { PaceRecord, PrefixCacheRecord } from '../../shared/protocol/member.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import type { RequestFailure, TokenEvent } from '../../shared/protocol/token-event.ts';
import { ExchangeError } from '../exchange/link.ts';
import { admit } from './admission.ts';
import { invalidRequest, serverFault, unavailable } from './failure.ts';
import type { ForwardPass } from './forward-pass.ts';
import { interruptionOf } from './interruption.ts';
import type { KvCache } from './kv-cache.ts';
import { Pace } from './pace.ts';
import type { PhaseTimes } from './phase-times.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { Sequence, SequenceStart } from './sequence.ts';
import type { SequenceFactory } from './sequence-factory.ts';
import { CacheMemoryError } from './slot-buffers.ts';

/** Where an engine's results go. Both are called while a step is worked on, so they must not block. */
export interface EngineListener {
  event(requestId: string, event: TokenEvent): void;
  /** The last word on a sequence: its slot is free. */
  ended(requestId: string, choice: number, outcome: SequenceOutcome): void;
}

export interface EngineParts {
  readonly factory: SequenceFactory;
  readonly cache: KvCache;
  /** Absent: every sequence computes all of its tokens. */
  readonly prefixCache?: PrefixCache;
  readonly forwardPass: ForwardPass;
  readonly limits: StepLimits & {
    /** Largest number of sequences that wait for a KV slot; one more is refused. */
    readonly waiting: number;
  };
  readonly listener: EngineListener;
  /** Sequences outlive steps that failed because of the way to experts. */
  readonly survivesInterruptions?: boolean;
}

type TokenCounts = Pick<Sequence, 'promptTokens' | 'cachedTokens' | 'completionTokens'>;

/** A sequence that has everything but a KV slot. */
type WaitingSequence = Omit<SequenceStart, 'slot'>;

/**
 * Continuous batching: sequences join and leave the batch between steps, long prompts are prefilled in chunks beside
 * sequences that decode. Who gets rows in a step is decided by `planStep`; this class only carries it out.
 *
 * A sequence is `waiting` (for a KV slot) → `running` → ended, each change between two steps.
 */
export class Engine {
  readonly #parts: EngineParts;
  readonly #waiting: WaitingSequence[] = [];
  #running: Sequence[] = [];
  readonly #rows: Int32Array;
  readonly #turn: DecodeTurn = { nextArrival: 0 };
  readonly #pace: Pace;
  #arrivals = 0;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#rows = new Int32Array(parts.cache.slots);
    this.#pace = new Pace(parts.cache.slots);
  }

  /** Where the time of its steps went. */
  get phases(): PhaseTimes {
    return this.#parts.forwardPass.phases;
  }

  /** What its prefix cache holds and counted; null where it keeps no prefixes. */
  get prefixCache(): PrefixCacheRecord | null {
    return this.#parts.prefixCache?.statistics ?? null;
  }

  /** How fast it got on of late; null until it has computed a step. */
  get pace(): PaceRecord | null {
    return this.#pace.record(this.#parts.limits, this.#running, this.#waiting);
  }

  get slotsInUse(): number {
    return this.#parts.cache.inUse;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get idle(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0;
  }

  /**
   * Takes a sequence. A wrong request is answered with a `failed` event, never with an exception.
   *
   * @param emitted answer tokens that an earlier attempt already sent to the client
   */
  submit(job: SequenceJob, emitted: readonly number[]): void {
    const { factory, limits } = this.#parts;
    const admission = admit(job, factory.config, factory.tokenizer);
    if ('failure' in admission) {
      this.#refuse(job, admission.failure);
      return;
    }
    if (this.#waiting.length >= limits.waiting) {
      this.#refuse(
        job,
        unavailable(`${limits.waiting} sequences already wait for a KV slot; try again later.`),
      );
      return;
    }
    const endIds = factory.endIds(job);
    this.#waiting.push({ ...admission, arrival: this.#arrivals++, job, emitted, endIds });
    this.#fillSlots();
  }

  /** Ends all sequences of a request, or that of one choice. Their slots are free when this returns, since it is called between steps. */
  cancel(requestId: string, choice?: number): void {
    const isMeant = (job: SequenceJob): boolean =>
      job.requestId === requestId && (choice === undefined || job.choice === choice);
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const { job, promptIds } = this.#waiting[i]!;
      if (!isMeant(job)) continue;
      this.#waiting.splice(i, 1);
      this.#tellCancelled(job, { promptTokens: promptIds.length, cachedTokens: 0, completionTokens: 0 });
    }
    const cancelled = this.#running.filter(({ job }) => isMeant(job));
    for (const sequence of cancelled) {
      this.#release(sequence);
      this.#tellCancelled(sequence.job, sequence);
    }
    this.#fillSlots();
  }

  /** Computes one step of the batch, if there is work. @returns what interrupted it, where it is to be tried again */
  async step(): Promise<ExchangeError | undefined> {
    const { forwardPass, prefixCache, limits } = this.#parts;
    this.#fillSlots();
    const running = this.#running;
    this.#reusePrefixes(running);
    const total = planStep(running, limits, this.#turn, this.#rows);
    if (total === 0) return;
    this.#pace.stepBegins(running, this.#rows, performance.now());
    try {
      await forwardPass.run(running, this.#rows, total);
    } catch (error) {
      // Only ways to experts, and threads that help, fail in ordinary operation.
      forwardPass.phases.end('exchange');
      const interruption = this.#parts.survivesInterruptions ? interruptionOf(error) : null;
      if (interruption !== null) return interruption;
      this.#failStep(running, error);
      return;
    }
    for (const [index, sequence] of running.entries()) {
      if (this.#rows[index] === 0) continue;
      prefixCache?.store(sequence.slot, sequence.tokens, this.#rows[index]!);
      const logits = forwardPass.logits(index);
      if (logits !== undefined) this.#sample(sequence, logits);
    }
    forwardPass.phases.end('sample');
    this.#pace.stepEnds(performance.now());
  }

  /** Fails everything that runs, because steps were interrupted for too long. */
  giveUp({ message }: ExchangeError): void {
    for (const sequence of this.#running) this.#fail(sequence, unavailable(message));
  }

  /** Fails everything that waits or runs, for instance because the host stops. */
  failAll(failure: RequestFailure): void {
    for (const { job } of this.#waiting.splice(0)) this.#refuse(job, failure);
    for (const sequence of this.#running) this.#fail(sequence, failure);
  }

  #fillSlots(): void {
    const { cache, factory, listener } = this.#parts;
    while (this.#waiting.length > 0 && cache.inUse < cache.slots) {
      const start = this.#waiting.shift()!;
      const { job } = start;
      const slot = this.#acquire(start);
      if (slot === 'later') {
        this.#waiting.unshift(start);
        return;
      }
      if (slot === 'never') continue;
      try {
        const sequence = factory.create({ ...start, slot });
        this.#running = [...this.#running, sequence];
        this.#pace.slotTaken(slot, performance.now());
        if (start.emitted.length === 0) {
          listener.event(job.requestId, {
            kind: 'started',
            choice: job.choice,
            promptTokens: sequence.promptTokens,
          });
        }
      } catch (error) {
        cache.release(slot);
        this.#refuse(job, invalidRequest(null, error instanceof Error ? error.message : String(error)));
      }
    }
  }

  /**
   * Lets prompts go on from what is kept of them. This is done for those that may get rows in the step that is about to be
   * planned, not when they arrive: of requests that come together with one long beginning, the first computes it and the
   * others find it.
   */
  #reusePrefixes(running: readonly Sequence[]): void {
    const { prefixCache, limits } = this.#parts;
    if (prefixCache === undefined) return;
    const anyDecodes = running.some(({ pendingPromptTokens }) => pendingPromptTokens === 0);
    let budget = anyDecodes ? limits.prefillBudget : limits.tokenBudget;
    for (const sequence of running) {
      if (budget <= 0) return;
      if (sequence.pendingPromptTokens === 0) continue;
      sequence.reuse(prefixCache.restore(sequence.slot, sequence.tokens));
      budget -= sequence.pendingPromptTokens;
    }
  }

  /** A KV slot for a sequence; where there is no memory for one, it waits for those that run, or is refused if there are none. */
  #acquire({ job, promptIds, maxTokens }: WaitingSequence): number | 'later' | 'never' {
    const { cache } = this.#parts;
    try {
      return cache.acquire(promptIds.length + maxTokens);
    } catch (error) {
      if (error instanceof CacheMemoryError && cache.inUse > 0) return 'later';
      this.#refuse(job, unavailable(error instanceof Error ? error.message : String(error)));
      return 'never';
    }
  }

  #sample(sequence: Sequence, logits: Float32Array): void {
    const { listener } = this.#parts;
    const { requestId, choice } = sequence.job;
    try {
      const { finished, ...token } = sequence.take(logits);
      this.#pace.generated();
      listener.event(requestId, { kind: 'token', choice, ...token });
      if (finished !== undefined) this.#finish(sequence, finished);
    } catch (error) {
      this.#fail(sequence, serverFault(error instanceof Error ? error.message : String(error)));
    }
  }

  #finish(sequence: Sequence, reason: 'stop' | 'length'): void {
    const { requestId, choice } = sequence.job;
    const { promptTokens, cachedTokens, completionTokens } = sequence;
    this.#release(sequence);
    const text = sequence.flush();
    const { listener } = this.#parts;
    const counts = { promptTokens, completionTokens };
    listener.event(requestId, { kind: 'finished', choice, reason, text, ...counts, cachedTokens });
    listener.ended(requestId, choice, { state: 'finished', reason, ...counts });
  }

  #failStep(running: readonly Sequence[], error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const isOurs = error instanceof ExchangeError || error instanceof JanusError;
    const failure = isOurs ? unavailable(message) : serverFault(message);
    for (const [index, sequence] of running.entries()) {
      if (this.#rows[index]! > 0) this.#fail(sequence, failure);
    }
  }

  #fail(sequence: Sequence, failure: RequestFailure): void {
    this.#release(sequence);
    this.#refuse(sequence.job, failure, sequence.promptTokens, sequence.completionTokens);
  }

  #refuse(job: SequenceJob, error: RequestFailure, promptTokens = 0, completionTokens = 0): void {
    const { requestId, choice } = job;
    this.#parts.listener.event(requestId, { kind: 'failed', choice, error });
    const outcome = { state: 'failed', reason: error.message, promptTokens, completionTokens } as const;
    this.#parts.listener.ended(requestId, choice, outcome);
  }

  #tellCancelled({ requestId, choice }: SequenceJob, tokens: TokenCounts): void {
    const { promptTokens, cachedTokens, completionTokens } = tokens;
    const { listener } = this.#parts;
    const counts = { promptTokens, completionTokens };
    const cancelled = { reason: 'cancelled', text: '', ...counts, cachedTokens } as const;
    listener.event(requestId, { kind: 'finished', choice, ...cancelled });
    const reason = 'the client closed the connection';
    listener.ended(requestId, choice, { state: 'cancelled', reason, ...counts });
  }

  /** Takes a sequence out of the batch. The list is replaced, so that a loop over the old one goes on undisturbed. */
  #release(sequence: Sequence): void {
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#pace.slotFreed(sequence, performance.now());
    this.#parts.cache.release(sequence.slot);
  }
}
