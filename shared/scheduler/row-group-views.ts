import { checkLimits, type SchedulerLimits } from './limits.ts';

/**
 * The memory of a `RowGroups`. A *pair* is one (token, slot) of the routing, numbered token · topK + slot. A *group* is all
 * pairs of one activated expert that one instance computes; groups are ordered by (instance, expert), so what one instance
 * computes is one range. There are at most as many groups as pairs, and as experts on all instances.
 */
export interface RowGroupViews {
  /** [n_e + 1]: the groups of instance g are `instanceStart[g] … instanceStart[g + 1])`; the last entry counts all groups. */
  readonly instanceStart: Int32Array;
  /** [groups]: expert of each group. */
  readonly groupExpert: Int32Array;
  /** [groups]: instance that computes each group. */
  readonly groupInstance: Int32Array;
  /** [groups + 1]: the pairs of group i are `groupPairs[groupStart[i] … groupStart[i + 1])`. */
  readonly groupStart: Int32Array;
  /** [maxTokens · topK]: pairs in grouped order, ascending inside a group. */
  readonly groupPairs: Int32Array;
  /** [maxTokens · topK]: where each pair stands in `groupPairs`. */
  readonly positionOf: Int32Array;
}

/**
 * Views of a `RowGroups` in one range of zeroed memory.
 *
 * @param buffer a `SharedArrayBuffer` where other threads read the groups; made anew when absent
 * @param byteOffset where the range of `rowGroupBytes` begins
 */
export function allocateRowGroups(
  limits: SchedulerLimits,
  buffer: ArrayBufferLike = new ArrayBuffer(rowGroupBytes(limits)),
  byteOffset = 0,
): RowGroupViews {
  const lengths = viewLengths(limits);
  let offset = byteOffset;
  const view = (length: number): Int32Array => {
    const made = new Int32Array(buffer, offset, length);
    offset += made.byteLength;
    return made;
  };
  return {
    instanceStart: view(lengths.instanceStart),
    groupExpert: view(lengths.groupExpert),
    groupInstance: view(lengths.groupInstance),
    groupStart: view(lengths.groupStart),
    groupPairs: view(lengths.groupPairs),
    positionOf: view(lengths.positionOf),
  };
}

/** Bytes of all views. @throws JanusError when a limit is not a positive integer */
export function rowGroupBytes(limits: SchedulerLimits): number {
  checkLimits(limits);
  const total = Object.values(viewLengths(limits)).reduce((sum, length) => sum + length, 0);
  return total * Int32Array.BYTES_PER_ELEMENT;
}

/** Length of each view for the largest step that the limits allow. */
export function viewLengths(limits: SchedulerLimits): Record<keyof RowGroupViews, number> {
  const pairs = limits.maxTokens * limits.topK;
  const groups = Math.min(pairs, limits.experts * limits.instances);
  return {
    instanceStart: limits.instances + 1,
    groupExpert: groups,
    groupInstance: groups,
    groupStart: groups + 1,
    groupPairs: pairs,
    positionOf: pairs,
  };
}

/**
 * Where the pairs of `instance`, and after them those of all later instances, begin in `groupPairs`. So a pair is computed
 * by one of the instances first … last exactly if its `positionOf` is in
 * `[firstPosition(views, first), firstPosition(views, last + 1))`.
 *
 * @param instance 0 … n_e; for n_e the number of all pairs.
 */
export function firstPosition(views: RowGroupViews, instance: number): number {
  return views.groupStart[views.instanceStart[instance]];
}
