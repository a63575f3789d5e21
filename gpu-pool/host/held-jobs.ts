import type { Redis } from 'ioredis';
import { jobLockKey } from '../../shared/protocol/keys.ts';
import type { TokenEvent } from '../../shared/protocol/token-event.ts';
import type { TokenStreamWriter } from './token-stream-writer.ts';

/** Time between two looks at whether this thread went on running. */
const LOOK_INTERVAL_MS = 250;
/** A thread that did not run for this long may have lost jobs to other hosts. It is shorter than the life of a lock after its renewal. */
const PAUSE_LIMIT_MS = 1_000;

/** A job that this host works at. */
export interface HeldJob {
  readonly id: string;
  /** What its lock holds while it is this host's. */
  readonly token: string;
  readonly requestId: string;
  readonly choice: number;
  /** Another host has it, or will: nothing more is written for it. */
  isLost: boolean;
  /** Ends its sequence; absent until an instance has it. */
  abandon?: () => void;
  /** Resolves when this host has ended it. */
  readonly left: Promise<void>;
}

/**
 * The jobs of one host, and what is written for them. A host that was stopped for a while does not know it; when it goes on, others
 * may have its jobs. So after a pause nothing is written before the locks were looked at, and sequences of jobs that were lost end
 * without a word.
 */
export class HeldJobs {
  readonly #redis: Redis;
  readonly #model: string;
  readonly #writer: TokenStreamWriter;
  readonly #held = new Map<string, HeldJob>();
  readonly #leave = new Map<string, () => void>();
  /** Runs while any job is held. */
  #timer: NodeJS.Timeout | undefined;
  #ranAtMs = 0;
  /** Pending while it is not known which jobs are this host's. */
  #doubt: Promise<void> | undefined;

  constructor(redis: Redis, model: string, writer: TokenStreamWriter) {
    this.#redis = redis;
    this.#model = model;
    this.#writer = writer;
  }

  /** The job of this id, while this host works at it. */
  get(id: string): HeldJob | undefined {
    return this.#held.get(id);
  }

  /** To be called when a job begins, and `leave` when it has ended. */
  enter(job: Pick<HeldJob, 'id' | 'token' | 'requestId' | 'choice'>): HeldJob {
    const { promise: left, resolve } = Promise.withResolvers<void>();
    const held: HeldJob = { ...job, isLost: false, left };
    if (this.#timer === undefined) {
      this.#ranAtMs = performance.now();
      this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS);
    }
    this.#held.set(job.id, held);
    this.#leave.set(job.id, resolve);
    return held;
  }

  leave({ id }: HeldJob): void {
    this.#held.delete(id);
    this.#leave.get(id)?.();
    this.#leave.delete(id);
    if (this.#held.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends the sequence of a job that is another's by now. */
  lose(job: HeldJob): void {
    if (job.isLost) return;
    job.isLost = true;
    job.abandon?.();
  }

  /** Looks at all locks, since some were not renewed. */
  suspect(): void {
    this.#doubt ??= this.#findLost().finally(() => {
      this.#doubt = undefined;
    });
  }

  /** Stores events as `TokenStreamWriter.write` does, but for those of jobs that are another's. */
  async write(events: readonly (readonly [string, TokenEvent])[]): Promise<void> {
    if (this.#timer !== undefined) this.#look();
    if (this.#doubt !== undefined) await this.#doubt;
    const lost = [...this.#held.values()].filter(({ isLost }) => isLost);
    if (lost.length === 0) return this.#writer.write(events);
    const isLost = (requestId: string, choice: number): boolean =>
      lost.some((job) => job.requestId === requestId && job.choice === choice);
    await this.#writer.write(events.filter(([requestId, { choice }]) => !isLost(requestId, choice)));
  }

  #look(): void {
    const nowMs = performance.now();
    const pausedMs = nowMs - this.#ranAtMs;
    this.#ranAtMs = nowMs;
    if (pausedMs > PAUSE_LIMIT_MS) this.suspect();
  }

  async #findLost(): Promise<void> {
    const jobs = [...this.#held.values()];
    if (jobs.length === 0) return;
    try {
      const tokens = await this.#redis.mget(jobs.map(({ id }) => jobLockKey(this.#model, id)));
      for (const [index, job] of jobs.entries()) if (tokens[index] !== job.token) this.lose(job);
    } catch {
      // Where Redis cannot tell, it stores nothing either.
    }
  }
}
