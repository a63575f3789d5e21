import { JanusError } from '../errors/janus-error.ts';
import { countPairs } from './count-pairs.ts';
import { checkLimits, checkRouting, type SchedulerLimits, unknownExpert } from './limits.ts';
import { type RowGroupViews, viewLengths } from './row-group-views.ts';

export { allocateRowGroups, firstPosition, type RowGroupViews, rowGroupBytes } from './row-group-views.ts';

/**
 * Groups the rows of a layer step by instance and expert, with a counting sort. The views hold the last call's result;
 * whoever shares them with other threads publishes it after `group` returns.
 */
export class RowGroups {
  readonly limits: SchedulerLimits;
  readonly views: RowGroupViews;
  /** Number of groups: of pairs of expert and instance that computes some of its rows. */
  groups = 0;
  /**
   * [E], or [n_e, E] where pairs are assigned one by one: pairs of each expert (on each instance), then the position at
   * which its next pair goes.
   */
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
    this.#cursor = new Int32Array(limits.experts * limits.instances);
    this.#nextGroup = new Int32Array(limits.instances);
  }

  /**
   * Groups one layer step. Allocates nothing.
   *
   * @param expertIds [rows, topK], row-major.
   * @param instanceOf [E]: the scheduler's choice for each activated expert.
   * @param instanceOfPair [rows · topK]: the scheduler's choice for each pair, when it made one; `instanceOf` is then not
   *   looked at.
   * @throws JanusError for a routing beyond the limits, an expert id out of range, or an expert or pair that is given to no
   *   known instance.
   */
  group(
    expertIds: Int32Array,
    instanceOf: Int32Array,
    rows: number,
    topK: number,
    instanceOfPair?: Int32Array,
  ): void {
    checkRouting(this.limits, expertIds, rows, topK);
    const pairs = rows * topK;
    if (instanceOfPair === undefined) {
      countPairs(expertIds, pairs, topK, this.limits.experts, this.#cursor);
      this.#layOutExperts(instanceOf);
      placePairs(expertIds, pairs, this.#cursor, this.views);
    } else {
      this.#countByInstance(expertIds, instanceOfPair, pairs, topK);
      this.#layOutByInstance();
      this.#placeByInstance(expertIds, instanceOfPair, pairs);
    }
  }

  /** Makes one group of each activated expert. */
  #layOutExperts(instanceOf: Int32Array): void {
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
            `instanceOf gives expert ${expert} to instance ${instance}; schedule this routing before grouping it, and pass ` +
              'the instanceOfPair of a scheduler that has one',
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

  #countByInstance(expertIds: Int32Array, instanceOfPair: Int32Array, pairs: number, topK: number): void {
    const cursor = this.#cursor;
    const { experts, instances } = this.limits;
    if (instanceOfPair.length < pairs) {
      throw new JanusError(
        `instanceOfPair has ${instanceOfPair.length} entries; ${pairs} pairs need as many`,
      );
    }
    cursor.fill(0);
    const lastExpert = experts - 1;
    const lastInstance = instances - 1;
    // Bad numbers show in the signs after the loop, as in `countPairs`.
    let expertSigns = 0;
    let instanceSigns = 0;
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      const instance = instanceOfPair[pair];
      expertSigns |= expert | (lastExpert - expert);
      instanceSigns |= instance | (lastInstance - instance);
      cursor[instance * experts + expert] += 1;
    }
    if (expertSigns < 0) throw unknownExpert(expertIds, pairs, topK, experts);
    if (instanceSigns < 0) throw unassignedPair(instanceOfPair, pairs, topK, instances);
  }

  /** Makes a group of each expert on each instance that computes some of its pairs. */
  #layOutByInstance(): void {
    const { instanceStart, groupExpert, groupInstance, groupStart } = this.views;
    const cursor = this.#cursor;
    const { experts, instances } = this.limits;
    let groups = 0;
    let start = 0;
    for (let instance = 0; instance < instances; instance += 1) {
      instanceStart[instance] = groups;
      for (let expert = 0; expert < experts; expert += 1) {
        const count = cursor[instance * experts + expert];
        if (count === 0) continue;
        groupExpert[groups] = expert;
        groupInstance[groups] = instance;
        groupStart[groups] = start;
        groups += 1;
        cursor[instance * experts + expert] = start;
        start += count;
      }
    }
    instanceStart[instances] = groups;
    groupStart[groups] = start;
    this.groups = groups;
  }

  #placeByInstance(expertIds: Int32Array, instanceOfPair: Int32Array, pairs: number): void {
    const { groupPairs, positionOf } = this.views;
    const cursor = this.#cursor;
    const experts = this.limits.experts;
    for (let pair = 0; pair < pairs; pair += 1) {
      const cell = instanceOfPair[pair] * experts + expertIds[pair];
      const position = cursor[cell];
      cursor[cell] = position + 1;
      groupPairs[position] = pair;
      positionOf[pair] = position;
    }
  }
}

/**
 * Puts each pair at the cursor of its expert. Two pairs a turn, because four arrays take more registers than there are: what
 * the compiler reloads in each turn is reloaded half as often, which takes a third off the time of a large step.
 */
function placePairs(
  expertIds: Int32Array,
  pairs: number,
  cursor: Int32Array,
  { groupPairs, positionOf }: RowGroupViews,
): void {
  const even = pairs - (pairs % 2);
  for (let pair = 0; pair < even; pair += 2) {
    const first = expertIds[pair];
    const second = expertIds[pair + 1];
    const firstAt = cursor[first];
    cursor[first] = firstAt + 1;
    const secondAt = cursor[second];
    cursor[second] = secondAt + 1;
    groupPairs[firstAt] = pair;
    groupPairs[secondAt] = pair + 1;
    positionOf[pair] = firstAt;
    positionOf[pair + 1] = secondAt;
  }
  if (even < pairs) {
    const position = cursor[expertIds[even]];
    groupPairs[position] = even;
    positionOf[even] = position;
  }
}

/** Builds the error for a step in which some pair is given to no known instance. */
function unassignedPair(
  instanceOfPair: Int32Array,
  pairs: number,
  topK: number,
  instances: number,
): JanusError {
  const pair = instanceOfPair
    .subarray(0, pairs)
    .findIndex((instance) => instance < 0 || instance >= instances);
  return new JanusError(
    `instanceOfPair gives row ${Math.floor(pair / topK)}, slot ${pair % topK} to instance ${instanceOfPair[pair]}; schedule ` +
      'this routing before grouping it',
  );
}
