import type { HostRecord } from '../protocol/member.ts';
import type { Layout, Placement } from '../scheduler/layout.ts';
import { isEmptied } from './transition.ts';

/** What an attention instance found lost under a placement: a host, or one instance of it. */
export interface LossReport {
  readonly version: number;
  readonly host: string;
  /** Null where the host cannot be reached at all. */
  readonly instance: number | null;
}

/** Instances that hold replicas under `placement` and can no longer serve them, ascending. */
export function lostInstances(
  placement: Placement,
  members: readonly HostRecord[],
  reports: readonly LossReport[],
): number[] {
  const records = new Map(members.map((member) => [member.host, member]));
  const told = reports.filter((report) => report.version === placement.version);
  const isLost = ({ id, host }: Placement['instances'][number]): boolean => {
    const record = records.get(host);
    if (record === undefined) return true;
    if (record.experts.some((expert) => expert.id === id && expert.state === 'gone')) return true;
    return told.some(
      (report) => report.host === host && (report.instance === null || report.instance === id),
    );
  };
  return placement.instances
    .filter((instance) => !isEmptied(placement, instance.id) && isLost(instance))
    .map(({ id }) => id);
}

/**
 * `placement` without the replicas of the instances in `lost`, whose numbers stay. Every host that is left holds what it
 * needs already, so it serves it at once.
 *
 * @returns null where an expert would be without a replica
 */
export function reducedPlacement(
  placement: Placement,
  lost: readonly number[],
  version: number,
): Placement | null {
  const layers = placement.layers.map((layout) => withoutSlots(layout, lost));
  const isWhole = layers.every((layout) => missingExperts(layout, placement.experts).length === 0);
  return isWhole ? { ...placement, version, layers } : null;
}

/** Whether others hold replicas of all experts that `host` holds. */
export function isReplaceable(placement: Placement, host: string): boolean {
  const own = placement.instances.filter((instance) => instance.host === host).map(({ id }) => id);
  return reducedPlacement(placement, own, placement.version) !== null;
}

/**
 * `placement` without the instances in `lost`, where experts that had their only replicas there are given to the instances
 * that are left, each to the one that holds least (ties: lowest id). These have to load them, so there is a pause.
 *
 * @param room replicas per layer that an instance can hold at most
 * @returns null where there is no room
 */
export function emergencyPlacement(
  placement: Placement,
  lost: readonly number[],
  version: number,
  room: (instance: number) => number,
): Placement | null {
  const usable = placement.instances
    .map(({ id }) => id)
    .filter((id) => !lost.includes(id) && !isEmptied(placement, id));
  const layers: (readonly (readonly number[])[])[] = [];
  for (const layout of placement.layers) {
    const slots = withoutSlots(layout, lost).slots.map((held) => [...held]);
    for (const expert of missingExperts({ ...layout, slots }, placement.experts)) {
      const free = usable.filter((id) => slots[id]!.length < room(id));
      if (free.length === 0) return null;
      const least = free.reduce((best, id) => (slots[id]!.length < slots[best]!.length ? id : best));
      slots[least] = [...slots[least]!, expert].sort((a, b) => a - b);
    }
    layers.push(slots);
  }
  return withSlots(placement, version, layers);
}

/** `placement` with other slots, and a capacity that they fit in. */
export function withSlots(
  placement: Placement,
  version: number,
  slots: readonly (readonly (readonly number[])[])[],
  leastCapacity = placement.capacity,
): Placement {
  const capacity = Math.max(leastCapacity, ...slots.flat().map((held) => held.length));
  const instances = placement.instances.length;
  const layers = slots.map((of) => ({ instances, capacity, slots: of }));
  return { ...placement, version, capacity, layers };
}

function withoutSlots(layout: Layout, lost: readonly number[]): Layout {
  return { ...layout, slots: layout.slots.map((held, id) => (lost.includes(id) ? [] : held)) };
}

function missingExperts({ slots }: Layout, experts: number): number[] {
  const held = new Set(slots.flat());
  return Array.from({ length: experts }, (_, expert) => expert).filter((expert) => !held.has(expert));
}
