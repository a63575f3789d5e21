import type { PlacedInstance, Placement } from '../scheduler/layout.ts';

/** `placement` of the instances in `ids` alone, numbered from 0, for whoever computes a placement of all instances that it sees. */
export function onlyInstances(placement: Placement, ids: readonly number[]): Placement {
  return {
    ...placement,
    instances: ids.map((id, position) => ({ id: position, host: placement.instances[id]!.host })),
    layers: placement.layers.map((layout) => ({
      ...layout,
      instances: ids.length,
      slots: ids.map((id) => layout.slots[id]!),
    })),
  };
}

/** Undoes `onlyInstances`: others of `instances` than those in `ids` hold nothing. */
export function atInstances(
  placement: Placement,
  ids: readonly number[],
  instances: readonly PlacedInstance[],
): Placement {
  const positionOf = new Map(ids.map((id, position) => [id, position]));
  return {
    ...placement,
    instances,
    layers: placement.layers.map((layout) => ({
      ...layout,
      instances: instances.length,
      slots: instances.map(({ id }) => (positionOf.has(id) ? layout.slots[positionOf.get(id)!]! : [])),
    })),
  };
}

/** `placement` with `instances` in the place of its own: those that it did not have hold nothing. */
export function withInstances(placement: Placement, instances: readonly PlacedInstance[]): Placement {
  return {
    ...placement,
    instances,
    layers: placement.layers.map((layout) => ({
      ...layout,
      instances: instances.length,
      slots: instances.map(({ id }) => layout.slots[id] ?? []),
    })),
  };
}
