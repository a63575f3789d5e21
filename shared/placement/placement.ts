import { JanusError } from '../errors/janus-error.ts';
import {
  checkInstances,
  type Layout,
  type PlacedInstance,
  type Placement,
  type SpareSlots,
} from '../scheduler/layout.ts';
import type { Scheduling } from '../scheduler/scheduling.ts';
import { checkLoads, checkSlotCount, replicaCounts } from './replicas.ts';
import { coveredDomains, coverSpareSlots } from './spare-slots.ts';

/** What `placeReplicas` decides on, for one layer. */
export interface PlacementProblem {
  /** [E]: R(e), replicas of each expert, 1 … n_e. */
  readonly replicas: Int32Array;
  /** [E]: c(e), activations of each expert over a window. */
  readonly loads: ArrayLike<number>;
  /** [E, E], symmetric: how often two experts are activated in one layer step. Absent: nothing is known. */
  readonly coActivation?: Float64Array | undefined;
  /** n_e. */
  readonly instances: number;
  /** C, replica slots per instance. */
  readonly capacity: number;
}

/** What a placement without any knowledge of the traffic is made from. */
export interface StaticPlacementOptions {
  readonly version: number;
  readonly model: string;
  readonly layers: number;
  /** E, logical experts per layer. */
  readonly experts: number;
  /** C, replica slots per instance and layer. */
  readonly capacity: number;
  /** Numbered 0 … n_e − 1, ascending. */
  readonly instances: readonly PlacedInstance[];
  readonly scheduling?: Scheduling;
  /** Default: `load`. */
  readonly spareSlots?: SpareSlots;
}

/**
 * Places replicas so that experts which are activated together live apart: greedily keeps the co-activation on every
 * instance low. Replicas go in order of descending load per replica (ties: lowest expert id), each to the instance with a
 * free slot and without that expert that adds the least co-activation (ties: fewer used slots, then lowest id).
 * Where every instance with a free slot already holds the expert, the cheapest exchange of one other replica makes room.
 *
 * Source: Janus (arXiv 2512.13525), expert placement; the exchange is stated anew, since the paper's listing has misprints.
 *
 * @returns A layout that passes `checkLayout`.
 * @throws JanusError when shapes disagree, a replica count is out of range, or the replicas exceed the slots.
 */
export function placeReplicas(problem: PlacementProblem): Layout {
  checkProblem(problem);
  const { replicas, loads, instances, capacity } = problem;
  const experts = replicas.length;
  const board = new PlacementBoard(
    experts,
    instances,
    capacity,
    problem.coActivation ?? new Float64Array(experts * experts),
  );
  const perReplica = Float64Array.from(replicas, (count, expert) => loads[expert] / count);
  const order = Array.from(replicas.keys()).sort((a, b) => perReplica[b] - perReplica[a] || a - b);
  for (const expert of order) {
    for (let replica = 0; replica < replicas[expert]; replica += 1) {
      const instance = board.bestFree(expert);
      if (instance >= 0) {
        board.put(expert, instance);
      } else {
        board.makeRoomAndPut(expert);
      }
    }
  }
  return { instances, capacity, slots: board.slots.map((held) => held.toSorted((a, b) => a - b)) };
}

/**
 * Places one replica of each expert as {@link placeReplicas} does, and fills the spare slots for coverage.
 *
 * @param domains [n_e]: failure domain of each instance.
 * @throws JanusError when shapes disagree, or the slots cannot hold all experts.
 */
export function placeForCoverage(problem: Omit<PlacementProblem, 'replicas'>, domains: Int32Array): Layout {
  const replicas = new Int32Array(problem.loads.length).fill(1);
  return coverSpareSlots(placeReplicas({ ...problem, replicas }), problem.loads, domains);
}

/**
 * The placement to start with: every expert counts the same and no co-activation is known, so all layers share one layout.
 *
 * @throws JanusError when the instances are not numbered 0 … n_e − 1 or their slots cannot hold all experts.
 */
export function staticPlacement(options: StaticPlacementOptions): Placement {
  const { version, model, layers, experts, capacity, instances, scheduling, spareSlots } = options;
  checkInstances(instances);
  const loads = new Float64Array(experts).fill(1);
  const problem = { loads, instances: instances.length, capacity };
  const domains = coveredDomains(options);
  const layout =
    domains === null
      ? placeReplicas({ ...problem, replicas: replicaCounts(loads, instances.length, capacity) })
      : placeForCoverage(problem, domains);
  return {
    version,
    model,
    experts,
    capacity,
    instances,
    layers: Array.from({ length: layers }, () => layout),
    ...(scheduling && { scheduling }),
    ...(spareSlots && { spareSlots }),
  };
}

/** A layout in the making. */
class PlacementBoard {
  /** [n_e][≤ C]: experts on each instance in order of arrival. */
  readonly slots: number[][];
  readonly #experts: number;
  readonly #capacity: number;
  readonly #coActivation: Float64Array;

  constructor(experts: number, instances: number, capacity: number, coActivation: Float64Array) {
    this.slots = Array.from({ length: instances }, () => []);
    this.#experts = experts;
    this.#capacity = capacity;
    this.#coActivation = coActivation;
  }

  put(expert: number, instance: number): void {
    this.slots[instance].push(expert);
  }

  /** The instance to put a replica of the expert on, or −1 when all that have a free slot hold the expert. */
  bestFree(expert: number): number {
    let best = -1;
    let leastAdded = Number.POSITIVE_INFINITY;
    for (const [instance, held] of this.slots.entries()) {
      if (!this.#isFull(instance) && !held.includes(expert)) {
        const added = this.#coActivationWith(expert, held);
        if (added < leastAdded || (added === leastAdded && held.length < this.slots[best].length)) {
          leastAdded = added;
          best = instance;
        }
      }
    }
    return best;
  }

  /**
   * Moves one replica from a full instance without the expert to an instance with a free slot, and puts the expert in its
   * place; of all such moves the one that adds the least co-activation, ties to the first found. There always is one: the
   * receiver holds fewer experts than the giver, so the giver has one that the receiver lacks.
   */
  makeRoomAndPut(expert: number): void {
    let giver = -1;
    let receiver = -1;
    let moved = -1;
    let leastAdded = Number.POSITIVE_INFINITY;
    for (const [from, fromHeld] of this.slots.entries()) {
      if (fromHeld.includes(expert)) {
        continue;
      }
      for (const candidate of fromHeld) {
        const rest = fromHeld.filter((other) => other !== candidate);
        const addedHere = this.#coActivationWith(expert, rest) - this.#coActivationWith(candidate, rest);
        for (const [to, toHeld] of this.slots.entries()) {
          if (this.#isFull(to) || toHeld.includes(candidate)) {
            continue;
          }
          const added = addedHere + this.#coActivationWith(candidate, toHeld);
          if (added < leastAdded) {
            leastAdded = added;
            giver = from;
            receiver = to;
            moved = candidate;
          }
        }
      }
    }
    const held = this.slots[giver];
    held[held.indexOf(moved)] = expert;
    this.put(moved, receiver);
  }

  #isFull(instance: number): boolean {
    return this.slots[instance].length >= this.#capacity;
  }

  #coActivationWith(expert: number, others: readonly number[]): number {
    const row = expert * this.#experts;
    let sum = 0;
    for (const other of others) {
      sum += this.#coActivation[row + other];
    }
    return sum;
  }
}

function checkProblem({ replicas, loads, coActivation, instances, capacity }: PlacementProblem): void {
  const experts = replicas.length;
  if (loads.length !== experts || (coActivation && coActivation.length !== experts * experts)) {
    throw new JanusError(
      `replicas has ${experts} experts, loads ${loads.length} and coActivation ${coActivation?.length ?? 'no'} entries; ` +
        `they must have E, E and E × E`,
    );
  }
  checkSlotCount(experts, instances, capacity);
  checkLoads(loads);
  const wrong = coActivation?.findIndex((value) => !Number.isFinite(value)) ?? -1;
  if (wrong >= 0) {
    throw new JanusError(
      `coActivation of experts ${Math.floor(wrong / experts)} and ${wrong % experts} is ${coActivation?.[wrong]}; ` +
        `give a finite number`,
    );
  }
  let total = 0;
  for (const [expert, count] of replicas.entries()) {
    if (count < 1 || count > instances) {
      throw new JanusError(
        `replicas[${expert}] is ${count}; an expert has one to ${instances} replicas, at most one per instance`,
      );
    }
    total += count;
  }
  if (total > instances * capacity) {
    throw new JanusError(
      `${total} replicas exceed ${instances} expert instances × capacity ${capacity} = ${instances * capacity} slots; ` +
        `lower the replica counts or add instances`,
    );
  }
}
