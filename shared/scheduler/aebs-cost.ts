import { JanusError } from '../errors/janus-error.ts';
import { countPairs } from './count-pairs.ts';
import { LayerScheduler } from './layer-scheduler.ts';
import type { LayoutIndex } from './layout-index.ts';
import { noReplica, type SchedulerLimits } from './limits.ts';
import type { SchedulerName } from './scheduling.ts';

/**
 * AEBS for where the time of an instance does not go with its activated experts alone, as on CPUs and in prefill:
 * cost(instance) = Σ over its experts of (costPerExpert + costPerRow · rows of the expert on this instance).
 *
 * First, as AEBS: experts by (replica count, id) ascending, each to its hosting instance with the least cost, ties to the
 * lowest instance id. With costPerRow = 0 this is AEBS, and the end.
 *
 * Then rows are shifted away from the busiest instance, as long as that pays: some rows of one of its experts go to another
 * instance that holds the expert but has none of its rows yet, as many as make the two cost the same. A shift splits the
 * expert, so its weights are read once more; hence it is made only if the costlier of the two instances then costs less than the
 * busiest did by more than costPerExpert. Of several shifts the one that leaves the least cost is made, ties to the lowest
 * expert, then instance id. If all rows of the expert fit into the shift, the expert moves as a whole.
 *
 * Costs are sums of the same numbers in the same order on every host, and so equal to the last bit. The two coefficients must
 * be the same on all hosts: agree on measured ones, do not measure on each.
 */
export class CostScheduler extends LayerScheduler {
  override readonly name: SchedulerName = 'aebs-cost';
  /** [n_e]: cost of each instance in the last call, in the unit of the coefficients. */
  readonly cost: Float64Array;
  readonly #costPerExpert: number;
  readonly #costPerRow: number;
  readonly #instanceOfPair: Int32Array;
  /** [E]: pairs of each expert. */
  readonly #counts: Int32Array;
  /** [replicas in all]: rows given to each replica; counted down when the pairs are assigned. */
  readonly #rowsOf: Int32Array;
  /** [E]: the replica that gets the next pair of each expert. */
  readonly #next: Int32Array;
  readonly #best = { replica: 0, host: 0, rows: 0 };

  /**
   * @param costPerExpert Time to read one expert's weights.
   * @param costPerRow Time to compute one row, in the same unit.
   * @throws JanusError when a coefficient is negative or not finite, or both are 0.
   */
  constructor(limits: SchedulerLimits, costPerExpert: number, costPerRow: number) {
    super(limits);
    for (const [name, value] of Object.entries({ costPerExpert, costPerRow })) {
      if (!(value >= 0 && Number.isFinite(value))) {
        throw new JanusError(`scheduler option ${name} is ${value}; give a number that is 0 or more`);
      }
    }
    if (costPerExpert + costPerRow === 0) {
      throw new JanusError('scheduler options costPerExpert and costPerRow are both 0; nothing would cost');
    }
    this.cost = new Float64Array(limits.instances);
    this.#costPerExpert = costPerExpert;
    this.#costPerRow = costPerRow;
    this.#instanceOfPair = new Int32Array(limits.maxTokens * limits.topK);
    this.#counts = new Int32Array(limits.experts);
    this.#rowsOf = new Int32Array(limits.experts * limits.instances);
    this.#next = new Int32Array(limits.experts);
  }

  protected override assign(index: LayoutIndex, expertIds: Int32Array, pairs: number, topK: number): void {
    countPairs(expertIds, pairs, topK, index.experts, this.#counts);
    this.#assignWhole(index);
    if (this.#costPerRow > 0) {
      // Shifts end, since each leaves less on the busiest instance; the bound keeps them few when rows cost almost nothing.
      const mostShifts = index.hostInstances.length;
      for (let shift = 0; shift < mostShifts && this.#findShift(index); shift += 1) this.#shift(index);
    }
    const isAnySpread = this.summarise(index, this.#rowsOf);
    this.instanceOfPair = isAnySpread ? this.#instanceOfPair : undefined;
    if (isAnySpread) this.#assignPairs(index, expertIds, pairs);
  }

  /** Gives every activated expert, undivided, to the hosting instance with the least cost. */
  #assignWhole(index: LayoutIndex): void {
    const { cost } = this;
    const { order, hostOffsets, hostInstances, experts } = index;
    const counts = this.#counts;
    this.#rowsOf.fill(0, 0, hostInstances.length);
    cost.fill(0);
    for (let position = 0; position < experts; position += 1) {
      const expert = order[position];
      if (counts[expert] === 0) continue;
      let best = -1;
      let least = Number.POSITIVE_INFINITY;
      for (let replica = hostOffsets[expert]; replica < hostOffsets[expert + 1]; replica += 1) {
        const hostCost = cost[hostInstances[replica]];
        if (hostCost < least) {
          least = hostCost;
          best = replica;
        }
      }
      if (best < 0) throw noReplica(expert);
      this.#rowsOf[best] = counts[expert];
      cost[hostInstances[best]] = least + this.#costPerExpert + this.#costPerRow * counts[expert];
    }
  }

  /** Leaves in `#best` the shift away from the busiest instance that pays most; false when none pays. */
  #findShift(index: LayoutIndex): boolean {
    const { cost } = this;
    const { heldOffsets, heldReplicas, replicaExpert, hostOffsets, hostInstances } = index;
    const best = this.#best;
    const busiest = this.#busiest(index.instances);
    let least = cost[busiest] - this.#costPerExpert;
    let isFound = false;
    for (let slot = heldOffsets[busiest]; slot < heldOffsets[busiest + 1]; slot += 1) {
      const replica = heldReplicas[slot];
      if (this.#rowsOf[replica] === 0) continue;
      const expert = replicaExpert[replica];
      for (let host = hostOffsets[expert]; host < hostOffsets[expert + 1]; host += 1) {
        if (this.#rowsOf[host] > 0) continue;
        const rows = this.#rowsToShift(replica, busiest, hostInstances[host]);
        const left = this.#costAfter(replica, busiest, hostInstances[host], rows);
        if (rows > 0 && left < least) {
          least = left;
          best.replica = replica;
          best.host = host;
          best.rows = rows;
          isFound = true;
        }
      }
    }
    return isFound;
  }

  #busiest(instances: number): number {
    let busiest = 0;
    for (let instance = 1; instance < instances; instance += 1) {
      if (this.cost[instance] > this.cost[busiest]) busiest = instance;
    }
    return busiest;
  }

  /** How many rows of a replica make its instance and another one, which must read the weights too, cost the same. */
  #rowsToShift(replica: number, from: number, to: number): number {
    const surplus = this.cost[from] - this.cost[to] - this.#costPerExpert;
    return Math.min(this.#rowsOf[replica], Math.floor(surplus / (2 * this.#costPerRow)));
  }

  /** Cost of the costlier of the two instances after a shift. */
  #costAfter(replica: number, from: number, to: number, rows: number): number {
    return Math.max(this.#costLeft(replica, from, rows), this.#costGained(to, rows));
  }

  #costLeft(replica: number, from: number, rows: number): number {
    const spared = rows === this.#rowsOf[replica] ? this.#costPerExpert : 0;
    return this.cost[from] - this.#costPerRow * rows - spared;
  }

  #costGained(to: number, rows: number): number {
    return this.cost[to] + this.#costPerRow * rows + this.#costPerExpert;
  }

  #shift(index: LayoutIndex): void {
    const { replica, host, rows } = this.#best;
    const from = index.hostInstances[replica];
    const to = index.hostInstances[host];
    this.cost[from] = this.#costLeft(replica, from, rows);
    this.cost[to] = this.#costGained(to, rows);
    this.#rowsOf[replica] -= rows;
    this.#rowsOf[host] = rows;
  }

  /** Gives the pairs of each expert, in ascending order, to its replicas, in ascending order. */
  #assignPairs(index: LayoutIndex, expertIds: Int32Array, pairs: number): void {
    const { hostOffsets, hostInstances, experts } = index;
    const rowsOf = this.#rowsOf;
    const next = this.#next;
    for (let expert = 0; expert < experts; expert += 1) next[expert] = hostOffsets[expert];
    for (let pair = 0; pair < pairs; pair += 1) {
      const expert = expertIds[pair];
      let replica = next[expert];
      while (rowsOf[replica] === 0) replica += 1;
      next[expert] = replica;
      rowsOf[replica] -= 1;
      this.#instanceOfPair[pair] = hostInstances[replica];
    }
  }
}
