import { Interruption, isBehind, type Loss, lossOf } from '../../../gpu-pool/attention/interruption.ts';
import { ExchangeError, isInterruption } from '../../../gpu-pool/exchange/link.ts';
import { type DecodeTurn, planStep, type StepSequence } from '../../../shared/batching/plan-step.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { RequestFailure, TokenEvent } from '../../../shared/protocol/token-event.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { type Bed, sleep } from '../bed.ts';
import type { LayerAnswer } from '../messages.ts';
import { LAYERS, routeRow, rowOf, TOP_K, tokenBehind } from '../simulated-model.ts';
import type { SimulatedProcess } from '../world.ts';
import { SimulatedExchange } from './simulated-exchange.ts';

/** Sequences that an instance holds. */
export const SLOTS = 4;
const LIMITS = { tokenBudget: 16, prefillBudget: 6 };
const LEAST_STEP_MS = 20;
const MOST_STEP_MS = 45;

/** One sequence, as in gpu-pool/attention/sequence.ts. */
class SimulatedSequence implements StepSequence {
  readonly arrival: number;
  readonly job: SequenceJob;
  readonly tokens: number[];
  readonly promptTokens: number;
  computed = 0;

  constructor(arrival: number, job: SequenceJob, emitted: readonly number[]) {
    const { ids } = job.prompt as Extract<SequenceJob['prompt'], { kind: 'tokens' }>;
    this.arrival = arrival;
    this.job = job;
    this.promptTokens = ids.length;
    this.tokens = [...ids, ...emitted];
  }

  get completionTokens(): number {
    return this.tokens.length - this.promptTokens;
  }

  get pendingPromptTokens(): number {
    const pending = this.tokens.length - this.computed;
    return this.completionTokens > 0 && pending === 1 ? 0 : pending;
  }

  row(index: number): number {
    return rowOf(this.job.sampling.seed, index, this.tokens[index]!);
  }
}

export interface EngineEvents {
  readonly event: (requestId: string, event: TokenEvent) => void;
  /** A sequence has ended; its last event was told before. */
  readonly ended: (job: SequenceJob) => void;
  /** Called behind every step. */
  readonly stepped: () => void;
  readonly interrupted: (version: number, loss: Loss | null, message: string) => void;
}

/** An attention instance: runs sequences step by step, and outlives the loss of experts, as gpu-pool/attention/attention-worker.ts. */
export class SimulatedEngine {
  generatedTokens = 0;
  stepMs = 0;
  #exchange: SimulatedExchange;
  #next: Placement | null = null;
  #running: SimulatedSequence[] = [];
  readonly #bed: Bed;
  readonly #process: SimulatedProcess;
  readonly #events: EngineEvents;
  readonly #interruption = new Interruption();
  readonly #rows = new Int32Array(SLOTS);
  readonly #turn: DecodeTurn = { nextArrival: 0 };
  #wake: () => void = () => {};
  #arrivals = 0;
  #steps = 0;
  #isStopped = false;

  constructor(bed: Bed, process: SimulatedProcess, placement: Placement, events: EngineEvents) {
    this.#bed = bed;
    this.#process = process;
    this.#events = events;
    this.#exchange = new SimulatedExchange(bed, process, placement);
    bed.checks.uses(process.name, placement);
    bed.spawn(() => this.#serve());
  }

  get sequences(): number {
    return this.#running.length;
  }

  get contextTokens(): number {
    return this.#running.reduce((sum, { tokens }) => sum + tokens.length, 0);
  }

  /** Version under which steps are sent. */
  get placementVersion(): number {
    return this.#exchange.placement.version;
  }

  take(host: string, answer: LayerAnswer): void {
    this.#exchange.take(host, answer);
  }

  submit(job: SequenceJob, emitted: readonly number[]): void {
    const sequence = new SimulatedSequence(this.#arrivals++, job, emitted);
    const { requestId, choice } = job;
    if (emitted.length === 0) {
      this.#events.event(requestId, { kind: 'started', choice, promptTokens: sequence.promptTokens });
    }
    this.#running.push(sequence);
    // The host that was lost may have told everything but the end.
    if (sequence.completionTokens >= job.maxTokens!) this.#finish(sequence);
    this.#wake();
  }

  /** Goes on under another placement after the step that is under way. */
  place(placement: Placement): void {
    this.#next = placement;
    this.#wake();
  }

  /** Ends after the step that is under way; what runs fails. */
  stop(failure: RequestFailure): void {
    this.#isStopped = true;
    this.#failAll(failure);
    this.#wake();
  }

  async #serve(): Promise<void> {
    while (!this.#isStopped) {
      if (this.#next !== null) {
        this.#exchange = new SimulatedExchange(this.#bed, this.#process, this.#next);
        this.#next = null;
        this.#bed.checks.uses(this.#process.name, this.#exchange.placement);
      }
      if (this.#running.length === 0) await this.#pause(null);
      else await this.#step();
    }
  }

  #pause(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (ms !== null) setTimeout(resolve, ms);
    });
  }

  async #step(): Promise<void> {
    const startedAtMs = performance.now();
    try {
      await this.#compute();
      this.#interruption.end();
      this.stepMs = performance.now() - startedAtMs;
      this.#events.stepped();
    } catch (error) {
      if (!(error instanceof ExchangeError && isInterruption(error))) throw error;
      await this.#outlive(error);
    }
  }

  async #outlive(error: ExchangeError): Promise<void> {
    const pauseMs = this.#interruption.pauseAfter(error, performance.now());
    if (pauseMs === null) {
      this.#interruption.end();
      return this.#failAll(unavailable(error.message));
    }
    if (!isBehind(error)) this.#events.interrupted(this.placementVersion, lossOf(error), error.message);
    await this.#pause(pauseMs);
  }

  async #compute(): Promise<void> {
    // Those that come meanwhile have to wait for the next step.
    const running = [...this.#running];
    planStep(running, LIMITS, this.#turn, this.#rows);
    const counts = running.map((_, index) => this.#rows[index]!);
    await sleep(this.#bed.world.between(LEAST_STEP_MS, MOST_STEP_MS));
    const rows = running.flatMap((sequence, index) =>
      Array.from({ length: counts[index]! }, (_, row) => sequence.row(sequence.computed + row)),
    );
    const sums: number[][] = [];
    this.#steps += 1;
    for (let layer = 0; layer < LAYERS; layer += 1) {
      const expertIds = new Int32Array(rows.length * TOP_K);
      for (const [at, row] of rows.entries()) routeRow(row, layer, expertIds, at * TOP_K);
      const step = `${this.#process.name} step ${this.#steps} layer ${layer}`;
      sums.push(await this.#exchange.run(step, layer, rows, expertIds));
    }
    let last = -1;
    for (const [index, sequence] of running.entries()) {
      last += counts[index]!;
      sequence.computed += counts[index]!;
      if (counts[index]! === 0 || sequence.computed < sequence.tokens.length) continue;
      this.#sample(
        sequence,
        tokenBehind(
          rows[last]!,
          sums.map((layer) => layer[last]!),
        ),
      );
    }
  }

  #sample(sequence: SimulatedSequence, id: number): void {
    if (!this.#running.includes(sequence)) return;
    const { requestId, choice, maxTokens } = sequence.job;
    const position = sequence.completionTokens;
    sequence.tokens.push(id);
    this.generatedTokens += 1;
    this.#events.event(requestId, { kind: 'token', choice, position, id, text: '' });
    if (sequence.completionTokens >= maxTokens!) this.#finish(sequence);
  }

  #finish(sequence: SimulatedSequence): void {
    const { promptTokens, completionTokens, job } = sequence;
    const counts = { promptTokens, cachedTokens: 0, completionTokens };
    const { requestId, choice } = job;
    this.#events.event(requestId, { kind: 'finished', choice, reason: 'length', text: '', ...counts });
    this.#end(sequence);
  }

  #failAll(error: RequestFailure): void {
    for (const sequence of [...this.#running]) {
      const { requestId, choice } = sequence.job;
      this.#events.event(requestId, { kind: 'failed', choice, error });
      this.#end(sequence);
    }
    this.#events.stepped();
  }

  #end(sequence: SimulatedSequence): void {
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#events.ended(sequence.job);
  }
}

export const unavailable = (message: string): RequestFailure => ({
  status: 503,
  type: 'server_error',
  code: 'pool_unavailable',
  param: null,
  message,
});
