import { JanusError } from '../errors/janus-error.ts';
import { checkLimits, checkRouting, type SchedulerLimits, unknownExpert } from './limits.ts';

/**
 * The memory of a `RowGroups`. A *pair* is one (token, slot) of the routing, numbered token · topK + slot. A *group* is all
 * pairs of one activated expert; groups are ordered by (instance, expert), so what one instance computes is one range.
 */
export interface RowGroupViews {
  /** [n_e + 1]: the groups of instance g are `instanceStart[g] … instanceStart[g + 1])`; the last entry counts all groups. */
  readonly instanceStart: Int32Array;
  /** [E]: expert of each group. */
  readonly groupExpert: Int32Array;
  /** [E]: instance that computes each group. */
  readonly groupInstance: Int32Array;
  /** [E + 1]: the pairs of group i are `groupPairs[groupStart[i] … groupStart[i + 1])`. */
  readonly groupStart: Int32Array;
  /** [maxTokens · topK]: pairs in grouped order, ascending inside a group. */
  readonly groupPairs: Int32Array;
  /** [maxTokens · topK]: where each pair stands in `groupPairs`. */
  readonly positionOf: Int32Array;
}

/**
 * Allocates the views of a `RowGroups` in one buffer.
 *
 * @param makeBuffer Makes a zeroed buffer of so many bytes; pass one that makes a `SharedArrayBuffer` where other threads
 *   read the groups.
 */
export function allocateRowGroups(
  limits: SchedulerLimits,
  makeBuffer: (bytes: number) => ArrayBufferLike = (bytes) => new ArrayBuffer(bytes),
): RowGroupViews {
  checkLimits(limits);
  const lengths = viewLengths(limits);
  const total = Object.values(lengths).reduce((sum, length) => sum + length, 0);
  const buffer = makeBuffer(total * Int32Array.BYTES_PER_ELEMENT);
  let offset = 0;
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

/**
 * Groups the rows of a layer step by the expert that computes them, and the experts by instance, with a counting sort.
 * The views hold the last call's result; whoever shares them with other threads publishes it after `group` returns.
 */
export class RowGroups {
  readonly limits: SchedulerLimits;
  readonly views: RowGroupViews;
  /** Number of groups, which is the number of activated experts. */
  groups = 0;
  /** [E]: pairs of each expert, then the position at which its next pair goes. */
  readonly #cursor: Int32Array;
  /** [n_e]: where the next group of each instance goes. */
  readonly #nextGroup: Int32Array;

  /** @throws JanusError when a limit is not a positive integer or a view is shorter than the limits ask for. */
  constructor(limits: SchedulerLimits, views: RowGroupViews) {
    checkLimits(limits);
    for (const [name, length] of Object.entries(viewLengths(limits))) {
      const given = views[name as keyof RowGroupViews].length;
      if (given < length) {
        throw new JanusError(`row group view ${name} has ${given} entries; the limits need ${length}`);
      }
    }
    this.limits = limits;
    this.views = views;
    this.#cursor = new Int32Array(limits.experts);
    this.#nextGroup = new Int32Array(limits.instances);
  }

  /**
   * Groups one layer step. Allocates nothing.
   *
   * @param expertIds [rows, topK], row-major.
   * @param instanceOf [E]: the scheduler's choice for each activated expert.
   * @throws JanusError for a routing beyond the limits, an expert id out of range, or an expert that `instanceOf` gives to
   *   no known instance.
   */
  group(expertIds: Int32Array, instanceOf: Int32Array, rows: number, topK: number): void {
    checkRouting(this.limits, expertIds, rows, topK);
    const pairs = rows * topK;
    this.#countPairs(expertIds, pairs, topK);
    this.#layOutGroups(instanceOf);
    this.#placePairs(expertIds, pairs);
  }

  #countPairs(expertIds: Int32Array, pairs: number, topK: number): void {
    const cursor = this.#cursor;
    const experts = this.limits.experts;
    cursor.fill(0);
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      if (expert < 0 || expert >= experts) {
        throw unknownExpert(expertIds, pairs, topK, experts);
      }
      cursor[expert] += 1;
    }
  }

  #layOutGroups(instanceOf: Int32Array): void {
    const { instanceStart, groupExpert, groupInstance, groupStart } = this.views;
    const cursor = this.#cursor;
    const nextGroup = this.#nextGroup;
    const { experts, instances } = this.limits;
    nextGroup.fill(0);
    for (let expert = 0; expert < experts; expert += 1) {
      if (cursor[expert] > 0) {
        const instance = instanceOf[expert];
        if (!(instance >= 0 && instance < instances)) {
          throw new JanusError(
            `instanceOf gives expert ${expert} to instance ${instance}; schedule this routing before grouping it`,
          );
        }
        nextGroup[instance] += 1;
      }
    }
    let groups = 0;
    for (let instance = 0; instance < instances; instance += 1) {
      const count = nextGroup[instance];
      instanceStart[instance] = groups;
      nextGroup[instance] = groups;
      groups += count;
    }
    instanceStart[instances] = groups;
    for (let expert = 0; expert < experts; expert += 1) {
      if (cursor[expert] > 0) {
        const instance = instanceOf[expert];
        const group = nextGroup[instance];
        groupExpert[group] = expert;
        groupInstance[group] = instance;
        nextGroup[instance] = group + 1;
      }
    }
    let start = 0;
    for (let group = 0; group < groups; group += 1) {
      const expert = groupExpert[group];
      const count = cursor[expert];
      groupStart[group] = start;
      cursor[expert] = start;
      start += count;
    }
    groupStart[groups] = start;
    this.groups = groups;
  }

  #placePairs(expertIds: Int32Array, pairs: number): void {
    const { groupPairs, positionOf } = this.views;
    const cursor = this.#cursor;
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      const position = cursor[expert];
      cursor[expert] = position + 1;
      groupPairs[position] = pair;
      positionOf[pair] = position;
    }
  }
}

function viewLengths(limits: SchedulerLimits): Record<keyof RowGroupViews, number> {
  const pairs = limits.maxTokens * limits.topK;
  return {
    instanceStart: limits.instances + 1,
    groupExpert: limits.experts,
    groupInstance: limits.experts,
    groupStart: limits.experts + 1,
    groupPairs: pairs,
    positionOf: pairs,
  };
}
