import { setTimeout as sleep } from 'node:timers/promises';

/** So often in a row the thread of an instance is started again before its host gives up. */
export const MOST_RESTARTS = 3;
/** Pause before the first of them; each further one is twice as long. */
const FIRST_PAUSE_MS = 100;
/** An instance that served for so long counts as sound: when its thread ends, that is the first time again. */
export const SOUND_AFTER_MS = 60_000;

/** Pause before a thread is started again; null where it has ended too often. @param ends in a row, at least 1 */
export const restartPauseMs = (ends: number): number | null =>
  ends > MOST_RESTARTS ? null : FIRST_PAUSE_MS * 2 ** (ends - 1);

export interface RestartOptions {
  /** As logs name the instance. */
  readonly name: string;
  /** Starts another thread in the place of the one that ended; resolves when it serves. */
  readonly start: () => Promise<void>;
  readonly log: (message: string) => void;
  /** Called when it is not started any more. */
  readonly givenUp: (reason: string) => void;
  /** Default: `restartPauseMs`. */
  readonly pauseMs?: (ends: number) => number | null;
}

/** Starts the thread of one instance again when it has ended by itself, a bounded number of times in a row. */
export class Restarts {
  readonly #options: RestartOptions;
  readonly #closing = new AbortController();
  #ends = 0;
  #servesSinceMs = performance.now();
  #underWay: Promise<void> = Promise.resolve();

  constructor(options: RestartOptions) {
    this.#options = options;
  }

  /** To be called when the thread has ended by itself while it served. */
  ended(reason: string): void {
    if (performance.now() - this.#servesSinceMs >= SOUND_AFTER_MS) this.#ends = 0;
    this.#underWay = this.#restart(reason);
  }

  /** Starts nothing any more; resolves when no start is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#underWay;
  }

  async #restart(reason: string): Promise<void> {
    const { name, start, log, givenUp, pauseMs: pauseAfter = restartPauseMs } = this.#options;
    const { signal } = this.#closing;
    for (let why = reason; !signal.aborted; ) {
      this.#ends++;
      const pauseMs = pauseAfter(this.#ends);
      if (pauseMs === null) {
        return givenUp(`${name} has ended ${this.#ends} times in a row, this time because of: ${why}`);
      }
      log(`${name} ended unexpectedly: ${why}; its thread is started again in ${pauseMs} ms`);
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await start();
        this.#servesSinceMs = performance.now();
        return log(`${name} serves again`);
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
    }
  }
}
