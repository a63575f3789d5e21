import { replicaMoves } from '../../shared/placement/placement-moves.ts';
import { seededRandom } from '../../shared/placement/seeded-random.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';

/** Pairs of instances exchange experts, over all layers in turn, until `moves` replicas have to be loaded. */
export function exchangedPlacement(held: Placement, moves: number, seed: number): Placement {
  const random = seededRandom(seed);
  const pick = <Value>(values: readonly Value[]): Value => values[Math.floor(random() * values.length)]!;
  const slots = held.layers.map((layout) => layout.slots.map((experts) => [...experts]));
  const next = (): Placement => ({
    ...held,
    layers: held.layers.map((layout, layer) => ({ ...layout, slots: slots[layer]! })),
  });
  for (let layer = 0; replicaMoves(held, next()).length < moves; layer = (layer + 1) % slots.length) {
    const one = pick(slots[layer]!);
    const other = pick(slots[layer]!.filter((experts) => experts !== one));
    const given = pick(one.filter((expert) => !other.includes(expert)));
    const taken = pick(other.filter((expert) => !one.includes(expert)));
    one.splice(one.indexOf(given), 1, taken);
    other.splice(other.indexOf(taken), 1, given);
    for (const experts of [one, other]) experts.sort((a, b) => a - b);
  }
  return next();
}
