import { Worker } from 'node:worker_threads';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { AttentionInstanceRecord, InstanceState } from '../../shared/protocol/member.ts';
import type { SequenceJob, SequenceOutcome } from '../../shared/protocol/request.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import { keepTelemetryOff } from '../runtime/telemetry.ts';
import { WORKER_LIMITS } from '../runtime/worker-limits.ts';
import { unavailable } from './failure.ts';
import { PHASES } from './phase-times.ts';
import type { SequenceTraces } from './sequence-traces.ts';
import type { TraceMemory } from './trace-sampler.ts';
import {
  type AttentionCommand,
  type AttentionReport,
  type AttentionStatistics,
  type AttentionWorkerData,
  placementVersionOf,
} from './worker-protocol.ts';

/** Writes events to the token streams; resolves when they are stored. */
export type EventSink = (events: readonly (readonly [string, TokenEvent])[]) => Promise<void>;

/** What an instance tells its host of its way to experts. */
export type Interrupted = Omit<Extract<AttentionReport, { kind: 'interrupted' }>, 'kind'>;

interface Pending {
  readonly job: SequenceJob;
  readonly resolve: (outcome: SequenceOutcome | 'lost') => void;
}

/** Time for an instance to end after it was told to stop, before its thread is ended. */
const STOP_LIMIT_MS = 2_000;

const keyOf = (requestId: string, choice: number): string => `${requestId}/${choice}`;

/** One attention instance as its host sees it: a worker thread with an engine. */
export class AttentionInstance {
  readonly id: string;
  readonly slots: number;
  /** Window of its routing results, written by its thread. */
  readonly trace: TraceMemory;
  state: InstanceState = 'loading';
  /** Of the placement under which its steps are sent; 0 where that never changes. */
  placementVersion: number;
  /** Resolves when the model is loaded. @throws JanusError when it cannot be */
  readonly ready: Promise<void>;
  statistics: AttentionStatistics = {
    slotsInUse: 0,
    waiting: 0,
    prefixCache: null,
    links: [],
    exchange: { layerSteps: 0, totalAMax: 0, regimes: [] },
    steps: 0,
    phasesMs: [],
    pace: null,
  };
  /** From the end of each step until its events were stored, all together. */
  #storeMs = 0;
  readonly #worker: Worker;
  readonly #steps: Int32Array;
  readonly #sink: EventSink;
  readonly #traces: SequenceTraces | null;
  readonly #pending = new Map<string, Pending>();
  /** Pending while the last events that were told are being stored; those before are stored by then. */
  #storing: Promise<void> = Promise.resolve();
  readonly #ended: Promise<void>;

  /**
   * @param onLost called when the thread ends without having been stopped
   * @param traces told of its sequences; null where nothing is traced
   * @param onInterrupted called when a step failed because of the way to experts and is to be tried again
   */
  constructor(
    start: Omit<AttentionWorkerData, 'stepCounter'>,
    sink: EventSink,
    onLost: (reason: string) => void,
    traces: SequenceTraces | null = null,
    onInterrupted: (interrupted: Interrupted) => void = () => {},
  ) {
    const data: AttentionWorkerData = { ...start, stepCounter: new SharedArrayBuffer(4) };
    this.id = data.id;
    this.slots = data.limits.slots;
    this.trace = data.trace;
    this.placementVersion = placementVersionOf(data.experts);
    this.#steps = new Int32Array(data.stepCounter);
    this.#sink = sink;
    this.#traces = traces;
    keepTelemetryOff();
    this.#worker = new Worker(new URL('./attention-worker.ts', import.meta.url), {
      workerData: data,
      resourceLimits: WORKER_LIMITS,
    });
    let reason = 'its thread ended';
    this.ready = new Promise((resolve, reject) => {
      const fail = (message: string) => {
        reason = message;
        reject(new JanusError(`Attention instance ${data.id}: ${message}`));
      };
      this.#worker.on('message', (report: AttentionReport) => {
        if (report.kind === 'failed') {
          fail(report.message);
          // Connections that it left open would keep a thread alive that serves nobody any more.
          void this.#worker.terminate();
          return;
        }
        if (report.kind === 'progress') return this.#take(report);
        if (report.kind === 'interrupted') return onInterrupted(report);
        if (report.kind === 'placed') {
          this.placementVersion = report.version;
          return;
        }
        this.state = 'ready';
        resolve();
      });
      this.#worker.once('error', (error) => fail(error.message));
      this.#worker.once('exit', () =>
        reject(new JanusError(`Attention instance ${data.id}: its thread ended while loading.`)),
      );
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        const lost = this.state === 'ready';
        this.state = 'gone';
        this.#traces?.fail(Date.now());
        if (lost) this.#losePending();
        else this.#failPending();
        if (lost) onLost(reason);
        resolve();
      });
    });
  }

  /** Sequences that were submitted and have not ended. */
  get load(): number {
    return this.#pending.size;
  }

  /** Steps that the instance has computed by now. */
  get steps(): number {
    return Atomics.load(this.#steps, 0);
  }

  /**
   * Generates a sequence; resolves when its last event is stored, or with `lost` where the thread ended by itself before: then all that
   * it told is stored, and another instance can go on from there. Never rejects.
   */
  submit(job: SequenceJob, emitted: readonly number[]): Promise<SequenceOutcome | 'lost'> {
    return new Promise((resolve) => {
      this.#pending.set(keyOf(job.requestId, job.choice), { job, resolve });
      this.#traces?.begin(job, emitted.length, Date.now());
      this.#tell({ kind: 'submit', job, emitted });
    });
  }

  /** @param choice whose sequence alone is to end; those of all when absent */
  cancel(requestId: string, choice?: number): void {
    this.#tell({ kind: 'cancel', requestId, choice });
  }

  /** Lets the instance go on under another placement, after the step it is at. */
  place(experts: Extract<AttentionCommand, { kind: 'place' }>['experts']): void {
    this.#tell({ kind: 'place', experts });
  }

  record(): AttentionInstanceRecord {
    const { slotsInUse, waiting, prefixCache, steps, phasesMs: threadMs, pace } = this.statistics;
    const { id, state, slots } = this;
    const phases = PHASES.map((phase, i) => [phase, threadMs[i] ?? 0]);
    const load = { slots, slotsInUse, waiting, prefixCache };
    const phasesMs = { ...Object.fromEntries(phases), store: this.#storeMs };
    return { id, state, ...load, steps, phasesMs, ...(pace && { pace }) };
  }

  /** Stops after the step it is at; sequences that still run fail as unavailable. */
  async stop(): Promise<void> {
    if (this.state === 'gone') return;
    this.state = 'draining';
    this.#tell({ kind: 'stop' });
    const timer = setTimeout(() => void this.#worker.terminate(), STOP_LIMIT_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Makes the thread end by itself, as a defect would; resolves when it has. */
  async kill(): Promise<void> {
    this.#tell({ kind: 'crash' });
    await this.#ended;
  }

  #tell(command: AttentionCommand): void {
    this.#worker.postMessage(command);
  }

  #take(report: Extract<AttentionReport, { kind: 'progress' }>): void {
    this.#traces?.take(report, this.statistics);
    this.statistics = report.statistics;
    const stored = this.#sink(report.events);
    this.#storing = stored.catch(() => {});
    stored.then(
      () => {
        if (report.events.length > 0) this.#storeMs += Date.now() - report.saidAtMs;
      },
      // A refused event is told by the outcome of its sequence; one of a sequence that goes on by its next event's fate.
      () => {},
    );
    for (const { requestId, choice, outcome } of report.ended) {
      const key = keyOf(requestId, choice);
      const pending = this.#pending.get(key);
      this.#pending.delete(key);
      stored.then(
        () => pending?.resolve(outcome),
        (error) =>
          pending?.resolve({
            ...outcome,
            state: 'failed',
            reason: `its events were not stored: ${error.message}`,
          }),
      );
    }
  }

  /** The thread has ended by itself: what it had can go on elsewhere. */
  #losePending(): void {
    for (const { resolve } of this.#pending.values()) void this.#storing.then(() => resolve('lost'));
    this.#pending.clear();
  }

  /** The thread was ended before it was done: what it had is failed on its behalf. */
  #failPending(): void {
    const error = unavailable(`Attention instance ${this.id} was stopped; send the request again.`);
    for (const { job, resolve } of this.#pending.values()) {
      const { requestId, choice } = job;
      const outcome = {
        state: 'failed',
        reason: error.message,
        promptTokens: 0,
        completionTokens: 0,
      } as const;
      const stored = this.#sink([[requestId, { kind: 'failed', choice, error }]]);
      void stored.catch(() => {}).then(() => resolve(outcome));
    }
    this.#pending.clear();
  }
}
