import type { LayerStep } from '../../shared/protocol/layer-step.ts';

/** What a link measured since it was opened. `messages` and `bytes` count both directions. */
export interface LinkStatistics {
  layerSteps: number;
  messages: number;
  /** Messages that left this side; the others came back. */
  messagesSent: number;
  bytes: number;
  /** Sum and largest of the round trips in microseconds: from the step in its memory to the output in its own. */
  totalRoundTripUs: number;
  maxRoundTripUs: number;
  /** The part of `totalRoundTripUs` that was spent on `combine`: arithmetic of the MoE layer, not transport. */
  totalCombineUs: number;
  /**
   * Other parts of it, known where the instances are on this host and 0 for other links: scheduling the step and grouping
   * its rows, and computing groups of experts on the sender's own thread. What is left is waiting for the instances.
   */
  totalScheduleUs: number;
  totalAssistUs: number;
  /** Groups of rows of one expert that the sender's thread computed. */
  assistedGroups: number;
  /** Largest number of activated experts on one instance of the host in the last layer step. */
  aMax: number;
}

/** One layer step that came to its end. */
export interface RoundTrip {
  readonly roundTripUs: number;
  readonly combineUs: number;
  /** Absent for links to other hosts. */
  readonly scheduleUs?: number;
  readonly assistUs?: number;
  readonly assistedGroups?: number;
  readonly aMax: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly bytes: number;
}

export function emptyStatistics(): LinkStatistics {
  return {
    layerSteps: 0,
    messages: 0,
    messagesSent: 0,
    bytes: 0,
    totalRoundTripUs: 0,
    maxRoundTripUs: 0,
    totalCombineUs: 0,
    totalScheduleUs: 0,
    totalAssistUs: 0,
    assistedGroups: 0,
    aMax: 0,
  };
}

/** Adds one layer step to `statistics`. */
export function recordRoundTrip(statistics: LinkStatistics, step: RoundTrip): void {
  const { roundTripUs, messagesSent } = step;
  statistics.layerSteps++;
  statistics.messages += messagesSent + step.messagesReceived;
  statistics.messagesSent += messagesSent;
  statistics.bytes += step.bytes;
  statistics.totalRoundTripUs += roundTripUs;
  statistics.totalCombineUs += step.combineUs;
  statistics.totalScheduleUs += step.scheduleUs ?? 0;
  statistics.totalAssistUs += step.assistUs ?? 0;
  statistics.assistedGroups += step.assistedGroups ?? 0;
  statistics.aMax = step.aMax;
  if (roundTripUs > statistics.maxRoundTripUs) statistics.maxRoundTripUs = roundTripUs;
}

/**
 * The way from one attention instance to the expert instances of one host. Every link gives the same guarantees, and
 * one conformance suite (test/integration/link-conformance.test.ts) holds them all to it:
 *
 * - steps are answered in the order in which they were sent, each exactly once; late and doubled answers are dropped;
 * - at most `IN_FLIGHT_LIMIT` steps are under way, one more is refused with `LinkBusyError`, so nothing piles up;
 * - a step over the row limit is refused with `StepTooLargeError` before anything is sent;
 * - a host that holds another placement version answers `StalePlacementError`;
 * - an expert that throws gives `ExpertFailedError` with its message;
 * - a lost peer gives `PeerLostError`, a silent one `AnswerOverdueError`; a step never hangs;
 * - after any of these errors the link takes the next step;
 * - `close` ends the step under way with `LinkClosedError`.
 */
export interface ExpertLink {
  /** Id of the expert host at the other end. */
  readonly host: string;
  readonly kind: 'shared-memory' | 'redis' | 'socket';
  readonly statistics: LinkStatistics;
  /**
   * Sends one layer step and resolves when the host's share of the MoE output stands in `output` `[T, H]`: for each row
   * the sum, in the gate's order, of gate weight × expert output over the experts that the schedule gave to this host.
   */
  exchange(step: LayerStep, output: Float32Array): Promise<void>;
  /**
   * Watches the host while it is sent a step another way, as far as a connection to it stands.
   *
   * @param bytes of that step
   * @param lost called at most once, when the connection breaks or the host falls silent
   * @returns ends the watch
   */
  watch?(bytes: number, lost: (error: PeerLostError) => void): () => void;
  /** Ends the step under way with `LinkClosedError`, and refuses further ones with it. */
  close(): Promise<void>;
}

/** Layer steps that may be under way on one link. The next layer needs this one's answer, so more would never help. */
export const IN_FLIGHT_LIMIT = 1;

/** Base of the errors that a layer step can end with. */
export class ExchangeError extends Error {
  override readonly name: string = 'ExchangeError';
  readonly host: string;
  constructor(host: string, message: string) {
    super(message);
    this.host = host;
  }
}

export class LinkBusyError extends ExchangeError {
  override readonly name = 'LinkBusyError';
  constructor(host: string) {
    super(
      host,
      `A layer step to expert host ${host} is still under way; a link carries ${IN_FLIGHT_LIMIT} at a time.`,
    );
  }
}

export class LinkClosedError extends ExchangeError {
  override readonly name = 'LinkClosedError';
  constructor(host: string) {
    super(host, `The link to expert host ${host} is closed.`);
  }
}

export class StepTooLargeError extends ExchangeError {
  override readonly name = 'StepTooLargeError';
  constructor(host: string, rows: number, maxRows: number) {
    super(
      host,
      `A layer step of ${rows} rows is over this exchange's limit of ${maxRows} rows; lower the token budget.`,
    );
  }
}

export class PeerLostError extends ExchangeError {
  override readonly name = 'PeerLostError';
  /** What was lost, and how that was noticed. */
  readonly what: string;
  /** Who is lost for certain: the host, or one of its instances by its number. Null where only the way to it may be. */
  readonly lost: 'host' | number | null;
  constructor(host: string, what: string, lost: PeerLostError['lost'] = null) {
    super(host, `Expert host ${host} is lost: ${what}.`);
    this.what = what;
    this.lost = lost;
  }
}

export class AnswerOverdueError extends ExchangeError {
  override readonly name = 'AnswerOverdueError';
  constructor(host: string, waitedMs: number) {
    super(
      host,
      `Expert host ${host} is alive but did not answer a layer step within ${Math.round(waitedMs)} ms.`,
    );
  }
}

export class StalePlacementError extends ExchangeError {
  override readonly name = 'StalePlacementError';
  readonly sentVersion: number;
  readonly heldVersion: number;
  constructor(host: string, sentVersion: number, heldVersion: number) {
    super(
      host,
      `Expert host ${host} holds placement version ${heldVersion}, the layer step was made under ${sentVersion}.`,
    );
    this.sentVersion = sentVersion;
    this.heldVersion = heldVersion;
  }
}

export class ExpertFailedError extends ExchangeError {
  override readonly name = 'ExpertFailedError';
}

/** The layer step depended on another thread of this host, which was interrupted or has ended: see `isInterruption`. */
export class RoundInterruptedError extends ExchangeError {
  override readonly name = 'RoundInterruptedError';
}

/** Whether the same layer step may come to a good end under another placement, or when its host has learned of this one. */
export function isInterruption(error: unknown): error is ExchangeError {
  return (
    error instanceof PeerLostError ||
    error instanceof AnswerOverdueError ||
    error instanceof StalePlacementError ||
    error instanceof RoundInterruptedError
  );
}
