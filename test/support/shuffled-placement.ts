import { placeReplicas } from '../../shared/placement/placement.ts';
import { replicaCounts } from '../../shared/placement/replicas.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';

/** A placement on the same instances that has little in common with `held` in one of its layers. */
export function shuffledPlacement(held: Placement, version: number, seed: number): Placement {
  const random = seededRandom(seed);
  const { experts, capacity, instances } = held;
  const layers = held.layers.map((layout, layer) => {
    if (layer !== seed % held.layers.length) return layout;
    const loads = Float64Array.from({ length: experts }, () => 1 + random());
    const replicas = replicaCounts(loads, instances.length, capacity);
    return placeReplicas({ replicas, loads, instances: instances.length, capacity });
  });
  return { ...held, version, layers };
}
