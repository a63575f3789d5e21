import type { ReadTimeouts } from '../dispatcher/read-events.ts';

/** What one gateway process bears; limits of single fields are in schema/field-limits.ts. */
export interface GatewayLimits extends ReadTimeouts {
  /** Largest request body, in bytes. */
  readonly bodyBytes: number;
  /** Generations under way at the same time. */
  readonly openRequests: number;
}

export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  bodyBytes: 1024 * 1024,
  // No more than the blocking connections of one dispatcher, so that a read rarely waits for one.
  openRequests: 512,
  queueWaitMs: 60_000,
  silenceMs: 60_000,
  overallMs: 30 * 60_000,
};
