import type { ReadTimeouts } from '../dispatcher/read-events.ts';

/** What one gateway process bears; limits of single fields are in schema/field-limits.ts. */
export interface GatewayLimits extends ReadTimeouts {
  /** Largest request body, in bytes. */
  readonly bodyBytes: number;
  /** Largest size of all prompts of a request together, in UTF-16 units; a token id counts as one. */
  readonly promptCharacters: number;
  /** Generations under way at the same time. */
  readonly openRequests: number;
  /** How long a resumable answer that nobody reads goes on, in milliseconds. */
  readonly resumeGraceMs: number;
  /** Resumable answers under way at the same time, of all gateways that share a Redis. */
  readonly resumableStreams: number;
  /** Longest predicted time to a request's first token, in milliseconds; one beyond it is refused. Infinity: any is allowed. */
  readonly firstTokenMs: number;
}

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  bodyBytes: 1024 * 1024,
  promptCharacters: 512 * 1024,
  openRequests: 4_096,
  resumeGraceMs: 30_000,
  resumableStreams: 1_024,
  // How long a client is ready to wait is the operator's to say; prompts may take minutes on a small machine, see below.
  firstTokenMs: Number.POSITIVE_INFINITY,
  queueWaitMs: 60_000,
  // A sequence that has a slot is silent while the prompts before its own are computed, which on a small machine takes minutes.
  silenceMs: 300_000,
  overallMs: 30 * 60_000,
};
