/** Time between two looks at a peer that owes an answer. */
const LOOK_INTERVAL_MS = 100;
/** Rate at which a frame leaves at least: while a large one does, nothing can be heard. */
const LEAST_BYTES_PER_MS = 50_000;

/**
 * Silence after which a host is given up whose experts others hold. Its own thread computes nothing, so that it answers a probe
 * within milliseconds, however long its instances take.
 */
export const SILENCE_LIMIT_MS = 400;

/** How a peer that does not answer is told from a slow one. */
export interface PeerWatchOptions {
  /** Longest wait for an answer, counted from `startedAtMs`. */
  readonly startedAtMs: number;
  readonly overdueAfterMs: number;
  /** Longest wait for any sign of life; null where there is nothing to be done but to wait for the answer. */
  readonly silenceLimitMs: number | null;
  /** Bytes that have to leave before the peer can answer. */
  readonly bytes: number;
  /** Grows with whatever comes from the peer. */
  readonly heard: () => number;
  /** Asks the peer for a sign of life. */
  readonly probe: () => void;
  /** One of the two is called, once, unless the watch is ended before. */
  readonly overdue: (waitedMs: number) => void;
  readonly silent: () => void;
}

/**
 * Watches a peer from the moment it was sent something until `end`. Silence is counted in looks and not in time: a thread that
 * itself did not run for a while finds only then what has come meanwhile, and must not take its own pause for its peer's.
 */
export class PeerWatch {
  readonly #options: PeerWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #mostQuietLooks: number;
  #quietLooks = 0;
  #heard: number;

  constructor(options: PeerWatchOptions) {
    const { overdueAfterMs, silenceLimitMs, bytes, heard } = options;
    this.#options = options;
    this.#heard = heard();
    const limitMs = (silenceLimitMs ?? Number.POSITIVE_INFINITY) + bytes / LEAST_BYTES_PER_MS;
    this.#mostQuietLooks = Math.ceil(limitMs / LOOK_INTERVAL_MS);
    this.#timer = setInterval(() => this.#look(), Math.min(LOOK_INTERVAL_MS, overdueAfterMs));
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { startedAtMs, overdueAfterMs, silenceLimitMs, heard, probe, overdue, silent } = this.#options;
    const waitedMs = performance.now() - startedAtMs;
    const heardNow = heard();
    this.#quietLooks = heardNow === this.#heard ? this.#quietLooks + 1 : 0;
    this.#heard = heardNow;
    if (this.#quietLooks >= this.#mostQuietLooks) {
      this.end();
      silent();
    } else if (waitedMs > overdueAfterMs) {
      this.end();
      overdue(waitedMs);
    } else if (silenceLimitMs !== null) {
      probe();
    }
  }
}
