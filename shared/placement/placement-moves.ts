import type { Layout, Placement } from '../scheduler/layout.ts';

/** One replica that an instance loads on the way from one placement to another. */
export interface ReplicaMove {
  readonly layer: number;
  readonly instance: number;
  readonly expert: number;
}

/** Replicas that instances have to load to go from one placement to another; what they drop costs nothing. */
export function replicaMoves(from: Placement, to: Placement): ReplicaMove[] {
  return to.layers.flatMap((layout, layer) =>
    layout.slots.flatMap((held, instance) =>
      held
        .filter((expert) => !from.layers[layer]?.slots[instance]?.includes(expert))
        .map((expert) => ({ layer, instance, expert })),
    ),
  );
}

/**
 * Renumbers the instances of a new layout so that few replicas have to be loaded: instances are alike, so what counts is
 * which experts live together, not where. Pairs with the most experts in common are joined first, ties to the lowest ids.
 *
 * @param domains failure domains of the instances, where it counts in which of them an expert is; null: they are all alike
 */
export function alignLayout(layout: Layout, inForce: Layout, domains: Int32Array | null = null): Layout {
  const pairs = layout.slots.flatMap((held, from) =>
    layout.slots.map((_, to) => ({
      from,
      to,
      common: held.filter((expert) => inForce.slots[to]?.includes(expert)).length,
    })),
  );
  pairs.sort((a, b) => b.common - a.common || a.to - b.to || a.from - b.from);
  const slots: (readonly number[])[] = Array.from({ length: layout.instances });
  const placed = new Set<number>();
  for (const { from, to } of pairs) {
    if (placed.has(from) || slots[to] !== undefined || domains?.[from] !== domains?.[to]) continue;
    slots[to] = layout.slots[from];
    placed.add(from);
  }
  return { ...layout, slots };
}
