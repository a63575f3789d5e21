import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { allocateRound, dropFromRound, readmitToRound } from '../../../gpu-pool/exchange/host-round.ts';
import { RoundRows } from '../../../gpu-pool/exchange/round-exchange.ts';
import type { LayerStepShape } from '../../../shared/protocol/layer-step.ts';

export const ROUND_SHAPE: LayerStepShape = { maxRows: 3, hiddenSize: 3, expertsPerToken: 2 };

export interface RoundThreadData {
  readonly memory: SharedArrayBuffer;
  readonly rows: readonly SharedArrayBuffer[];
  readonly index: number;
}

/** Steps at random, from `seed`. */
export interface Play {
  readonly seed: number;
  readonly steps: number;
  readonly layers: number;
  /** With pauses between steps and layers, and times without work. */
  readonly pauses: boolean;
}

export interface Played {
  /** Layer steps that ended with the right output. */
  layerSteps: number;
  failures: number;
  /** Instances that had rows in each layer step that this one led. */
  readonly sizes: number[];
}

/** Times by one clock of all threads. */
export interface Begun {
  readonly waitedMs: number;
  readonly begunAtMs: number;
}

export type RoundCommand =
  | { readonly kind: 'active'; readonly active: boolean }
  | { readonly kind: 'begin' }
  | { readonly kind: 'run'; readonly layer: number; readonly rows: number; readonly mark: number }
  | { readonly kind: 'end' }
  | ({ readonly kind: 'play' } & Play)
  /** Says that it is active, then that it is not, until its thread is ended. */
  | { readonly kind: 'toggle' };

export type RoundReply =
  /** Said before a `begin` that may block. */
  { readonly joins: true } | { readonly value: unknown } | { readonly error: RoundError };

export interface RoundError {
  readonly isExchangeError: boolean;
  /** The same layer step may be sent again. */
  readonly isInterruption: boolean;
  readonly message: string;
}

/** How a layer step ended that did not end well. */
export class RoundFailure extends Error {
  readonly isExchangeError: boolean;
  readonly isInterruption: boolean;
  constructor({ isExchangeError, isInterruption, message }: RoundError) {
    super(message);
    this.isExchangeError = isExchangeError;
    this.isInterruption = isInterruption;
  }
}

/** A thread that steps together with others, as its host sees it. Commands are carried out in their order. */
export class RoundThread {
  readonly index: number;
  readonly #data: RoundThreadData;
  readonly #worker: Worker;
  readonly #ready: Promise<unknown>;
  readonly #open: ((reply: Exclude<RoundReply, { joins: true }>) => void)[] = [];
  #joins: (() => void) | undefined;

  constructor(data: RoundThreadData) {
    this.index = data.index;
    this.#data = data;
    this.#worker = new Worker(new URL('./round-thread.ts', import.meta.url), { workerData: data });
    this.#ready = once(this.#worker, 'message').then(() => {
      this.#worker.on('message', (reply: RoundReply) => {
        if ('joins' in reply) this.#joins?.();
        else this.#open.shift()?.(reply);
      });
    });
  }

  /** Starts as many threads as there are to step together on one host. */
  static async start(instances: number): Promise<RoundThread[]> {
    const memory = allocateRound();
    const rows = Array.from({ length: instances }, () => new RoundRows(ROUND_SHAPE).buffer);
    const threads = rows.map((_, index) => new RoundThread({ memory, rows, index }));
    await Promise.all(threads.map((thread) => thread.#ready));
    return threads;
  }

  /** Resolves when `active` is known to all. */
  async setActive(active: boolean): Promise<void> {
    await this.#tell({ kind: 'active', active });
  }

  /** Resolves when the round has begun, with the time that it waited for that. */
  async begin(): Promise<Begun> {
    return (await this.#tell({ kind: 'begin' })) as Begun;
  }

  /** Resolves when it is about to join a round. To be called before `begin`. */
  joins(): Promise<void> {
    return new Promise((resolve) => {
      this.#joins = resolve;
    });
  }

  /**
   * Runs one layer and checks its output; resolves with the instances whose rows this one sent, empty where another did.
   *
   * @throws RoundFailure
   */
  async run(layer: number, { rows = 2, mark = 0 } = {}): Promise<number[]> {
    return (await this.#tell({ kind: 'run', layer, rows, mark })) as number[];
  }

  /** Leaves the round; resolves with the time just before. */
  async end(): Promise<number> {
    return (await this.#tell({ kind: 'end' })) as number;
  }

  async play(options: Play): Promise<Played> {
    return (await this.#tell({ kind: 'play', ...options })) as Played;
  }

  toggle(): void {
    void this.#tell({ kind: 'toggle' });
  }

  /** Ends the thread where it stands, and takes it out of the round as its host does. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
    dropFromRound(this.#data.memory, this.index);
  }

  /** Takes an instance that was killed back into rounds, as its host does; false where it cannot be yet. */
  readmit(): boolean {
    return readmitToRound(this.#data.memory, this.index);
  }

  /** Starts another thread in the place of one that was readmitted. */
  async startAgain(): Promise<RoundThread> {
    const again = new RoundThread(this.#data);
    await again.#ready;
    return again;
  }

  #tell(command: RoundCommand): Promise<unknown> {
    this.#worker.postMessage(command);
    return new Promise((resolve, reject) => {
      this.#open.push((reply) =>
        'error' in reply ? reject(new RoundFailure(reply.error)) : resolve(reply.value),
      );
    });
  }
}
