import { type HostCommand, HostProcess } from './host-process.ts';

/** So many hosts of a pool load their weights at the same time. */
const START_TOGETHER = 2;
/** A host that served for so long counts as sound: the next one that ends is the first to fail. */
const SOUND_AFTER_MS = 60_000;

/** Pause before a host is started again: doubles with every failure in a row, up to a bound. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { firstMs: 1_000, mostMs: 60_000 };

/** @param failures in a row, at least 1 */
export const restartDelayMs = ({ firstMs, mostMs }: Backoff, failures: number): number =>
  Math.min(mostMs, firstMs * 2 ** (failures - 1));

export interface ProcessPoolOptions {
  /** As logs name its hosts. */
  readonly name: string;
  /** Asked at every start. */
  readonly command: () => HostCommand;
  readonly backoff: Backoff;
  readonly log: (line: string) => void;
}

/** Keeps a number of hosts running: starts what lacks, drains what is too many, and starts again what ended by itself. */
export class ProcessPool {
  readonly #options: ProcessPoolOptions;
  /** In the order of their starts, those that drain included. */
  readonly #hosts = new Set<HostProcess>();
  #wanted = 0;
  #failures = 0;
  #startAfterMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProcessPoolOptions) {
    this.#options = options;
  }

  /** Hosts that it was last told to keep running. */
  get wanted(): number {
    return this.#wanted;
  }

  /** Hosts that serve. */
  get ready(): number {
    return this.#in('ready').length;
  }

  /** Processes of its hosts, those that drain included. */
  get processIds(): readonly number[] {
    return [...this.#hosts].flatMap(({ processId }) => processId ?? []);
  }

  /** Starts and ends hosts from now on until `count` of them serve. */
  resize(count: number): void {
    this.#wanted = count;
    this.#adjust();
  }

  /** Drains all hosts; resolves when they have ended. */
  async close(): Promise<void> {
    this.resize(0);
    await Promise.all([...this.#hosts].map((host) => host.drain()));
  }

  #in(state: HostProcess['state']): HostProcess[] {
    return [...this.#hosts].filter((host) => host.state === state);
  }

  #adjust(): void {
    clearTimeout(this.#timer);
    const [starting, ready] = [this.#in('starting'), this.#in('ready')];
    let lacking = this.#wanted - starting.length - ready.length;
    // What serves nobody yet goes first, then the youngest, which has kept the least of prompts.
    const surplus = [...starting.toReversed(), ...ready.toReversed()].slice(0, Math.max(0, -lacking));
    for (const host of surplus) {
      this.#options.log(`${this.#options.name}: process ${host.processId} drains`);
      void host.drain();
    }
    const waitMs = this.#startAfterMs - performance.now();
    if (lacking > 0 && waitMs > 0) {
      this.#timer = setTimeout(() => this.#adjust(), waitMs);
      return;
    }
    for (let room = START_TOGETHER - starting.length; room > 0 && lacking > 0; room--, lacking--)
      this.#start();
  }

  #start(): void {
    const { name, command, log } = this.#options;
    const host = HostProcess.start(command(), {
      ready: () => {
        log(`${name}: process ${host.processId} serves`);
        this.#adjust();
      },
      ended: (how, asked) => this.#takeEnd(host, how, asked),
      line: (line) => log(`${name} ${host.processId}: ${line}`),
    });
    this.#hosts.add(host);
  }

  #takeEnd(host: HostProcess, how: string, asked: boolean): void {
    this.#hosts.delete(host);
    const { name, log, backoff } = this.#options;
    if (asked) {
      log(`${name}: process ${host.processId} has ended`);
    } else {
      const nowMs = performance.now();
      this.#failures = host.servedMs(nowMs) >= SOUND_AFTER_MS ? 1 : this.#failures + 1;
      const delayMs = restartDelayMs(backoff, this.#failures);
      this.#startAfterMs = nowMs + delayMs;
      log(
        `${name}: process ${host.processId} ended by itself (${how}); the next start is in ${delayMs / 1_000} s`,
      );
    }
    this.#adjust();
  }
}
