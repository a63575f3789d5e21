import { JanusError } from '../errors/janus-error.ts';

/**
 * Decides how many replicas each expert gets. Every expert gets one; each further slot goes to the expert with the largest
 * load per replica c(e)/R(e), ties to the lowest id. An expert has at most one replica per instance, so slots stay empty
 * when there are more than n_e · E. Loads that are all zero say nothing and count as equal.
 *
 * Source: Janus (arXiv 2512.13525), replica allocation.
 *
 * @param loads [E]: c(e), activations of each expert over a window.
 * @param instances n_e.
 * @param capacity C, replica slots per instance.
 * @returns [E]: R(e).
 * @throws JanusError when n_e · C slots cannot hold E experts, or a load is negative or not finite.
 */
export function replicaCounts(loads: ArrayLike<number>, instances: number, capacity: number): Int32Array {
  const experts = loads.length;
  checkSlotCount(experts, instances, capacity);
  const nothingSeen = checkLoads(loads) === 0;
  const counts = new Int32Array(experts).fill(1);
  const perReplica = Float64Array.from(loads, (load) => (nothingSeen ? 1 : load));
  const slots = Math.min(instances * capacity, instances * experts);
  for (let slot = experts; slot < slots; slot += 1) {
    let neediest = -1;
    for (let expert = 0; expert < experts; expert += 1) {
      if (counts[expert] < instances && (neediest < 0 || perReplica[expert] > perReplica[neediest])) {
        neediest = expert;
      }
    }
    const replicas = counts[neediest] + 1;
    counts[neediest] = replicas;
    perReplica[neediest] = (nothingSeen ? 1 : loads[neediest]) / replicas;
  }
  return counts;
}

/** @throws JanusError when n_e or C is not a positive integer, or n_e · C slots cannot hold one replica of each expert. */
export function checkSlotCount(experts: number, instances: number, capacity: number): void {
  if (!Number.isInteger(instances) || instances < 1 || !Number.isInteger(capacity) || capacity < 1) {
    throw new JanusError(`instances is ${instances} and capacity ${capacity}; give positive integers`);
  }
  const slots = instances * capacity;
  if (slots < experts) {
    throw new JanusError(
      `${instances} expert instances × capacity ${capacity} = ${slots} slots cannot hold ${experts} experts; ` +
        `run at least ${Math.ceil(experts / capacity)} instances or raise the capacity to at least ` +
        `${Math.ceil(experts / instances)}`,
    );
  }
}

/**
 * Checks activation counts.
 *
 * @returns Their sum.
 * @throws JanusError when one is negative or not finite.
 */
export function checkLoads(loads: ArrayLike<number>): number {
  let total = 0;
  for (let expert = 0; expert < loads.length; expert += 1) {
    const load = loads[expert];
    if (!(load >= 0 && load < Number.POSITIVE_INFINITY)) {
      throw new JanusError(`loads[${expert}] is ${load}; give a count of activations that is zero or more`);
    }
    total += load;
  }
  return total;
}
