import {
  AnswerOverdueError,
  type ExchangeError,
  isInterruption,
  PeerLostError,
  RoundInterruptedError,
  StalePlacementError,
} from '../exchange/link.ts';
import { HelperLostError } from '../team/team-board.ts';

/** Time for which sequences wait for their experts before they fail. */
export const INTERRUPTION_LIMIT_MS = 20_000;
/** First and longest pause before a step is tried again at a host that has not learned of its placement yet. */
const SHORT_PAUSE_MS = 2;
const LONG_PAUSE_MS = 50;
const PAUSE_GROWTH = 1.5;
/** Pause before a step is tried again without another placement: the way to its host may have come back. */
const LOSS_PAUSE_MS = 100;

/** What ended a step that may come to a good end when it is tried again; null where `error` is no such thing. */
export function interruptionOf(error: unknown): ExchangeError | null {
  if (isInterruption(error)) return error;
  // The thread computes alone from now on.
  return error instanceof HelperLostError ? new RoundInterruptedError('this host', error.message) : null;
}

/** Whom an error shows to be lost, for whoever makes the next placement. */
export interface Loss {
  readonly host: string;
  /** Null where it is all of the host. */
  readonly instance: number | null;
}

/** The time in which one step after the other fails because of the way to experts, and not because of the sequences. */
export class Interruption {
  #sinceMs: number | undefined;
  #pauseMs = SHORT_PAUSE_MS;

  /** How long to pause before the next try; null when it has taken too long. A new placement ends the pause. */
  pauseAfter(error: ExchangeError, nowMs: number): number | null {
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs > INTERRUPTION_LIMIT_MS) return null;
    if (!isBehind(error)) return LOSS_PAUSE_MS;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(LONG_PAUSE_MS, pauseMs * PAUSE_GROWTH);
    return pauseMs;
  }

  /** A step was computed. */
  end(): void {
    this.#sinceMs = undefined;
    this.#pauseMs = SHORT_PAUSE_MS;
  }
}

/** Whether the host thread has nothing to do about it: the step is only to be sent again. */
export const isBehind = (error: ExchangeError): boolean =>
  error instanceof RoundInterruptedError ||
  (error instanceof StalePlacementError && error.heldVersion < error.sentVersion);

/** Null where an error tells of nobody for certain. */
export function lossOf(error: ExchangeError): Loss | null {
  const { host } = error;
  if (error instanceof AnswerOverdueError) return { host, instance: null };
  if (!(error instanceof PeerLostError) || error.lost === null) return null;
  return { host, instance: error.lost === 'host' ? null : error.lost };
}
