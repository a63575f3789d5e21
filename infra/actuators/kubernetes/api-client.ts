import type { AppsV1Api } from '@kubernetes/client-node';
import { type ApiFailure, apiFailureOf } from './api-failure.ts';
import { type Cluster, connectCluster } from './cluster.ts';

/** Longest wait for one answer. */
const REQUEST_LIMIT_MS = 5_000;
/** Attempts of one call, the first one included. */
const MOST_ATTEMPTS = 4;
/** Longest pause within a call; a server that wants a longer one is left alone until it is over. */
const LONGEST_PAUSE_MS = 5_000;
/** Pause where a busy server does not say how long. */
const DEFAULT_PAUSE_MS = 1_000;

/** What time is to a client. */
export interface ClientTime {
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/** A call that failed for good. */
export class ApiCallError extends Error {
  override readonly name = 'ApiCallError';
  readonly failure: ApiFailure;

  constructor(failure: ApiFailure) {
    super(failure.kind);
    this.failure = failure;
  }
}

/**
 * Asks an API server, and asks again where that helps: at once with the token that the file holds now when the old one has
 * expired, later when the server says so.
 */
export class ApiClient {
  readonly #cluster: Cluster;
  readonly #time: ClientTime;
  #api: AppsV1Api | undefined;
  /** Until then a busy server is not asked anything. */
  #quietUntilMs = 0;

  constructor(cluster: Cluster, time: ClientTime) {
    this.#cluster = cluster;
    this.#time = time;
  }

  /**
   * @param call may be run several times
   * @throws ApiCallError when it failed for good
   * @throws JanusError when token or certificate cannot be read
   */
  async ask<Answer>(call: (api: AppsV1Api) => Promise<Answer>): Promise<Answer> {
    let hasFreshToken = this.#api === undefined;
    for (let attempt = 1; ; attempt += 1) {
      const quietMs = this.#quietUntilMs - this.#time.nowMs();
      if (quietMs > LONGEST_PAUSE_MS) throw new ApiCallError({ kind: 'busy', retryAfterMs: quietMs });
      if (quietMs > 0) await this.#time.sleep(quietMs);
      this.#api ??= connectCluster(this.#cluster, REQUEST_LIMIT_MS);
      try {
        return await call(this.#api);
      } catch (error) {
        const failure = apiFailureOf(error);
        if (failure.kind === 'busy') {
          this.#quietUntilMs = this.#time.nowMs() + (failure.retryAfterMs ?? DEFAULT_PAUSE_MS);
          if (attempt < MOST_ATTEMPTS) continue;
        }
        if (failure.kind === 'unauthorized') {
          this.#api = undefined;
          if (!hasFreshToken) {
            hasFreshToken = true;
            continue;
          }
        }
        throw new ApiCallError(failure);
      }
    }
  }
}
