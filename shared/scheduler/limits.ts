import { JanusError } from '../errors/janus-error.ts';

/** What the scheduler's buffers are sized for; no call may exceed it. */
export interface SchedulerLimits {
  /** Largest number of rows T in one layer step. */
  readonly maxTokens: number;
  /** Largest number of experts k that a token is routed to. */
  readonly topK: number;
  /** E, logical experts per layer. */
  readonly experts: number;
  /** n_e, expert instances. */
  readonly instances: number;
}

/** @throws JanusError when a limit is not a positive integer. */
export function checkLimits(limits: SchedulerLimits): void {
  for (const name of ['maxTokens', 'topK', 'experts', 'instances'] as const) {
    if (!Number.isInteger(limits[name]) || limits[name] < 1) {
      throw new JanusError(`scheduler limit ${name} is ${limits[name]}; give a positive integer`);
    }
  }
}

/**
 * Checks the shape of one layer step's routing in constant time.
 *
 * @param expertIds [rows, topK], row-major; may be longer.
 * @throws JanusError when the routing exceeds the limits or the array is too short for it.
 */
export function checkRouting(
  limits: SchedulerLimits,
  expertIds: Int32Array,
  rows: number,
  topK: number,
): void {
  if (!(rows >= 0 && rows <= limits.maxTokens)) {
    throw new JanusError(`rows is ${rows}; one layer step takes 0 to ${limits.maxTokens} (maxTokens)`);
  }
  if (!(topK >= 1 && topK <= limits.topK)) {
    throw new JanusError(`topK is ${topK}; this scheduler was made for 1 to ${limits.topK}`);
  }
  if (rows * topK > expertIds.length) {
    throw new JanusError(
      `expertIds has ${expertIds.length} entries; ${rows} rows × top-${topK} need ${rows * topK}`,
    );
  }
}

/**
 * Builds the error for a routing that names an expert the model does not have.
 *
 * @param pairs Number of leading entries of `expertIds` that count; one of them is out of range.
 */
export function unknownExpert(
  expertIds: Int32Array,
  pairs: number,
  topK: number,
  experts: number,
): JanusError {
  const pair = expertIds.subarray(0, pairs).findIndex((expert) => expert < 0 || expert >= experts);
  return new JanusError(
    `expertIds: row ${Math.floor(pair / topK)}, slot ${pair % topK} names expert ${expertIds[pair]}; ids go from 0 to ` +
      `${experts - 1}. Check that sender and receiver serve the same model`,
  );
}

/** Builds the error for an activated expert that no instance holds. */
export function noReplica(expert: number): JanusError {
  return new JanusError(`expert ${expert} is activated but has no replica; load it on an expert instance`);
}
