import type { Clock } from '../../clock.ts';
import { ClientGoneError, toRequestError } from '../errors.ts';
import type { GenerationObserver } from '../generation/run.ts';
import {
  createGenerationWatch,
  type Generation,
  type GenerationFacts,
  type GenerationWatch,
} from './generation-watch.ts';
import type { RequestMetrics } from './request-metrics.ts';

/** nginx's status for a client that hung up before it was answered; nobody ever reads it. */
export const CLIENT_CLOSED_REQUEST = 499;

/** What a log tells of one request: no text of the client's or the model's, and no key. */
export interface AccessEntry extends Readonly<GenerationFacts> {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  /** Null where the registry knows none of the name that was asked for. */
  readonly model: string | null;
  readonly status: number;
  /** Status of a failure that came when the one above had been sent. */
  readonly brokenBy: number | null;
  /** From the arrival until the last byte was handed over. */
  readonly durationMs: number;
}

/** Times of a response whose headers are about to be sent, in milliseconds; null what has not happened yet. */
export interface ResponseTimes {
  readonly processingMs: number;
  readonly queueMs: number | null;
  readonly firstTokenMs: number | null;
}

/** Watches one request from its arrival to its end, which of a stream comes after its headers. */
export interface RequestWatch extends GenerationObserver {
  /** The registry knows the model that is asked for. */
  readonly asks: (model: string) => void;
  /** A generation begins; `ended` tells of its end. */
  readonly generates: (model: string, generation: Generation) => void;
  /** The headers are about to be sent. */
  readonly responds: (status: number) => ResponseTimes;
}

export interface RequestWatchOptions {
  readonly clock: Clock;
  readonly metrics: RequestMetrics;
  readonly accessLog: (entry: AccessEntry) => void;
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  /** Whether the address generates. Lists, files and probes are no requests in the sense of the metrics. */
  readonly isGeneration: boolean;
}

const NO_GENERATION: Readonly<GenerationFacts> = {
  queueMs: null,
  firstTokenMs: null,
  promptTokens: 0,
  completionTokens: 0,
  finishReasons: [],
};

const statusOf = (error: unknown): number =>
  error instanceof ClientGoneError ? CLIENT_CLOSED_REQUEST : toRequestError(error, () => {}).failure.status;

export function createRequestWatch(options: RequestWatchOptions): RequestWatch {
  const { clock, metrics, accessLog, requestId, method, path, isGeneration } = options;
  const arrivedAtMs = clock.nowMs();
  let model: string | null = null;
  let generation: GenerationWatch | undefined;
  let generating = false;
  let status: number | null = null;
  let brokenBy: number | null = null;

  /** Told twice of a request that generates, at its response and at the end of its events; the later one ends it. */
  const endIfOver = (): void => {
    if (status === null || generating) return;
    const refused = status >= 400;
    const failure = refused ? status : brokenBy;
    if (failure !== null && isGeneration) metrics.failed(model ?? '', failure);
    accessLog({
      requestId,
      method,
      path,
      model,
      status,
      brokenBy: refused ? null : brokenBy,
      durationMs: clock.nowMs() - arrivedAtMs,
      ...(generation?.facts ?? NO_GENERATION),
    });
  };

  return {
    asks(known) {
      model = known;
    },
    generates(known, started) {
      generating = true;
      generation = createGenerationWatch(clock, metrics.of(known), started);
    },
    take: (events) => generation?.take(events),
    ended(error) {
      generating = false;
      if (error !== null) brokenBy = statusOf(error);
      endIfOver();
    },
    responds(sent) {
      const processingMs = clock.nowMs() - arrivedAtMs;
      status = sent;
      endIfOver();
      const { queueMs, firstTokenMs } = generation?.facts ?? NO_GENERATION;
      return { processingMs, queueMs, firstTokenMs };
    },
  };
}
