import { JanusError } from '../errors/janus-error.ts';
import type { Scheduling } from './scheduling.ts';

/** Which logical experts each expert instance holds, for one layer. JSON-serialisable. */
export interface Layout {
  /** n_e, number of expert instances. */
  readonly instances: number;
  /** C, replica slots of one instance. */
  readonly capacity: number;
  /** [n_e][≤ C]: ids of the experts that each instance holds, ascending. */
  readonly slots: readonly (readonly number[])[];
}

/**
 * What replica slots beyond one per expert are for. `load`: more replicas of what is activated most, which lowers a_max.
 * `coverage`: a second replica elsewhere, so that as many experts as possible survive the death of any one host.
 */
export const SPARE_SLOTS = ['load', 'coverage'] as const;
export type SpareSlots = (typeof SPARE_SLOTS)[number];

/** One expert instance of a placement and the host process that it lives in. */
export interface PlacedInstance {
  /** 0 … n_e − 1, global over all hosts: the position in `Layout.slots`. */
  readonly id: number;
  readonly host: string;
}

/** The layouts of all layers of a model, under one version. JSON-serialisable. */
export interface Placement {
  readonly version: number;
  readonly model: string;
  /** E, logical experts per layer. */
  readonly experts: number;
  /** C, replica slots per instance and layer. */
  readonly capacity: number;
  /** Ascending by id. */
  readonly instances: readonly PlacedInstance[];
  readonly layers: readonly Layout[];
  /** How hosts schedule under this placement; AEBS when absent. It stands here because all hosts must do the same. */
  readonly scheduling?: Scheduling;
  /** What its spare slots are for, `load` when absent: whoever makes the next placement from this one keeps to it. */
  readonly spareSlots?: SpareSlots;
}

/** Ids of the hosts of a placement, in host order: the order of their first instances. */
export function placementHosts(placement: Placement): string[] {
  return [...new Set(placement.instances.map((instance) => instance.host))];
}

/**
 * Checks that a layout can serve every expert.
 *
 * @param experts E, logical experts of the layer.
 * @param where Names the layout in messages, for example `layer 3`.
 * @throws JanusError for an unknown expert id, two replicas of one expert on one instance, ids out of order, an instance
 *   over its capacity, or an expert without a replica.
 */
export function checkLayout(layout: Layout, experts: number, where = 'layout'): void {
  const replicas = checkSlots(layout, experts, where);
  const missing = replicas.indexOf(0);
  if (missing >= 0) {
    throw new JanusError(
      `${where}: expert ${missing} has no replica; put it on an instance with a free slot`,
    );
  }
}

/**
 * Checks a placement as it comes out of storage: instance ids, and every layer with {@link checkLayout}.
 *
 * @throws JanusError naming the layer and instance at fault.
 */
export function checkPlacement(placement: Placement): void {
  checkInstances(placement.instances);
  for (const [layer, layout] of placement.layers.entries()) {
    const where = `placement version ${placement.version}, layer ${layer}`;
    if (layout.instances !== placement.instances.length || layout.capacity !== placement.capacity) {
      throw new JanusError(
        `${where}: laid out for ${layout.instances} instances of capacity ${layout.capacity}, but the placement has ` +
          `${placement.instances.length} of capacity ${placement.capacity}; place this layer again`,
      );
    }
    checkLayout(layout, placement.experts, where);
  }
}

/**
 * Checks that instance ids are 0 … n_e − 1 in this order, since they index the slots of every layout.
 *
 * @throws JanusError when the list is empty or an id is out of place.
 */
export function checkInstances(instances: readonly PlacedInstance[]): void {
  if (instances.length === 0) {
    throw new JanusError('instances: the placement has none; start at least one expert instance');
  }
  const wrong = instances.findIndex((instance, position) => instance.id !== position);
  if (wrong >= 0) {
    throw new JanusError(
      `instances[${wrong}].id is ${instances[wrong].id}; number the instances from 0 without gaps, in ascending order`,
    );
  }
}

/**
 * Checks every instance of a layout by itself; an expert may be without a replica.
 *
 * @returns [E] number of replicas of each expert.
 * @throws JanusError as {@link checkLayout}, but not for an expert without a replica.
 */
export function checkSlots(layout: Layout, experts: number, where = 'layout'): Int32Array {
  const { instances, capacity, slots } = layout;
  if (slots.length !== instances) {
    throw new JanusError(
      `${where}: slots lists ${slots.length} instances instead of ${instances}; give one list each`,
    );
  }
  const replicas = new Int32Array(experts);
  for (const [instance, held] of slots.entries()) {
    if (held.length > capacity) {
      throw new JanusError(
        `${where}: instance ${instance} holds ${held.length} experts but has ${capacity} slots; move ` +
          `${held.length - capacity} of them or raise the capacity`,
      );
    }
    for (const [slot, expert] of held.entries()) {
      if (!Number.isInteger(expert) || expert < 0 || expert >= experts) {
        throw new JanusError(
          `${where}: instance ${instance} holds unknown expert ${expert}; ids go from 0 to ${experts - 1}`,
        );
      }
      if (held.indexOf(expert) < slot) {
        throw new JanusError(
          `${where}: instance ${instance} holds expert ${expert} twice; put the second replica on another instance`,
        );
      }
      if (slot > 0 && held[slot - 1] > expert) {
        throw new JanusError(
          `${where}: instance ${instance} lists its experts out of order; sort them ascending`,
        );
      }
      replicas[expert] += 1;
    }
  }
  return replicas;
}
