import { Worker } from 'node:worker_threads';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ReplicaMove } from '../../shared/placement/placement-moves.ts';
import type { ExpertInstanceRecord, InstanceState } from '../../shared/protocol/member.ts';
import type { HostMemory } from '../exchange/host-memory.ts';
import { openHostMemory, openLane, type SharedExchange } from '../exchange/lane-memory.ts';
import type { KernelSource, TeamSource } from '../runtime/kernel/kernel-source.ts';
import type { ModelSource } from '../runtime/model-source.ts';
import { keepTelemetryOff } from '../runtime/telemetry.ts';
import { WORKER_LIMITS } from '../runtime/worker-limits.ts';
import type { LoadOrder } from './replica-loader.ts';

/** What the thread of an expert instance is started with. */
export interface ExpertWorkerData {
  readonly model: ModelSource;
  readonly shared: SharedExchange;
  /** Id in the placement. */
  readonly instance: number;
  readonly experts: readonly LoadOrder[];
  /** Absent where ONNX Runtime computes everything. */
  readonly kernels?: KernelSource;
  /** Absent where nobody of this host asks for help. */
  readonly team?: TeamSource;
}

export type ExpertWorkerMessage =
  | { readonly kind: 'ready'; readonly loadedBytes: number; readonly loadMs: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'loaded'; readonly layer: number; readonly expert: number }
  | { readonly kind: 'passed' }
  | {
      readonly kind: 'not-loaded';
      readonly layer: number;
      readonly expert: number;
      readonly message: string;
    };

export type ExpertCommand =
  | { readonly kind: 'load'; readonly orders: readonly LoadOrder[]; readonly urgent: boolean }
  | { readonly kind: 'drop'; readonly experts: readonly ExpertOfLayer[] }
  /** Answer with `passed` between two pieces of work. */
  | { readonly kind: 'pass' }
  /** End as a defect would make it, for those who try what follows. */
  | { readonly kind: 'crash' }
  | { readonly kind: 'stop' };

export interface ExpertOfLayer {
  readonly layer: number;
  readonly expert: number;
}

/** An expert instance as it is started. */
export interface ExpertStart {
  /** Id in the placement. */
  readonly id: number;
  /** C, replica slots per layer. */
  readonly slots: number;
  /** What it loads first. */
  readonly experts: readonly LoadOrder[];
  readonly model: ModelSource;
  readonly shared: SharedExchange;
  /** Absent where ONNX Runtime computes everything. */
  readonly kernels?: { readonly source: KernelSource; readonly team: TeamSource } | undefined;
}

/** What an instance tells of itself after it has started. */
export interface ExpertEvents {
  /** Its thread ended without having been stopped. */
  readonly lost: (instance: number, reason: string) => void;
  /** It has loaded an expert that it was told to; with a reason, it could not. */
  readonly loaded: (replica: ReplicaMove, failure?: string) => void;
}

/** Longest that an instance may work at one thing while somebody waits for it to be done. */
const PASS_LIMIT_MS = 10_000;
/** Time for an instance to leave its loop after it was told to stop, before its thread is ended. */
const STOP_LIMIT_MS = 2_000;

/** One expert instance as its host sees it: a worker thread with the experts of its slots. */
export class ExpertInstance {
  readonly id: number;
  readonly slots: number;
  state: InstanceState = 'loading';
  /** Resolves when the experts are loaded. @throws JanusError when they cannot be */
  readonly ready: Promise<void>;
  readonly #memory: HostMemory;
  readonly #shared: SharedExchange;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  /** Those that wait for `passed`. */
  readonly #passing: (() => void)[] = [];

  constructor({ id, slots, experts, model, shared, kernels }: ExpertStart, events: ExpertEvents) {
    this.id = id;
    this.slots = slots;
    this.#shared = shared;
    this.#memory = openHostMemory(shared);
    const data: ExpertWorkerData = {
      model,
      shared,
      instance: id,
      experts,
      ...(kernels && { kernels: kernels.source, team: kernels.team }),
    };
    keepTelemetryOff();
    this.#worker = new Worker(new URL('./expert-worker.ts', import.meta.url), {
      workerData: data,
      resourceLimits: WORKER_LIMITS,
    });
    let reason = 'its thread ended';
    this.ready = new Promise((resolve, reject) => {
      const fail = (message: string) => {
        reason = message;
        reject(new JanusError(`Expert instance ${id}: ${message}`));
      };
      this.#worker.on('message', (message: ExpertWorkerMessage) => {
        if (message.kind === 'failed') return fail(message.message);
        if (message.kind === 'passed') return this.#passing.shift()?.();
        if (message.kind === 'loaded' || message.kind === 'not-loaded') {
          const { layer, expert } = message;
          const failure = message.kind === 'loaded' ? undefined : message.message;
          return events.loaded({ layer, instance: id, expert }, failure);
        }
        this.state = 'ready';
        resolve();
      });
      this.#worker.once('error', (error) => fail(error.message));
      this.#worker.once('exit', () => reject(new JanusError(`Expert instance ${id} ended while loading.`)));
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#release();
        const isLost = this.state === 'ready';
        this.state = 'gone';
        for (const pass of this.#passing.splice(0)) pass();
        if (isLost) events.lost(id, reason);
        resolve();
      });
    });
  }

  record(): ExpertInstanceRecord {
    return { id: this.id, state: this.state, slots: this.slots, ...this.#memory.counters(this.id) };
  }

  /** Lets every sender that waits for this instance see that it has ended, also where another thread soon takes its place. */
  #release(): void {
    this.#memory.setAlive(this.id, false);
    for (let lane = 0; lane < this.#shared.lanes.length; lane++) {
      openLane(this.#shared, lane).loseShare(this.id - this.#shared.firstInstance);
    }
  }

  /** Loads experts beside those that it holds; each is told by `ExpertEvents`. @param urgent see `ReplicaLoader.add` */
  load(orders: readonly LoadOrder[], urgent: boolean): void {
    this.#tell({ kind: 'load', orders, urgent });
  }

  /** Drops experts that no layer step asks for any more. */
  drop(experts: readonly ExpertOfLayer[]): void {
    this.#tell({ kind: 'drop', experts });
  }

  /** Resolves when the thread is done with whatever it works at now, or has ended. @throws JanusError when that takes too long */
  async passed(): Promise<void> {
    if (this.state !== 'ready') return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#passing.push(resolve);
    this.#tell({ kind: 'pass' });
    const timer = setTimeout(() => {
      reject(new JanusError(`expert instance ${this.id} works at one thing for over ${PASS_LIMIT_MS} ms`));
    }, PASS_LIMIT_MS);
    await promise.finally(() => clearTimeout(timer));
  }

  #tell(command: ExpertCommand): void {
    this.#worker.postMessage(command);
    this.#memory.ring(this.id);
  }

  /** Stops the instance after the layer step it is at. */
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
}
