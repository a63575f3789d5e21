import type { ReplicaMove } from '../placement/placement-moves.ts';
import type { Placement } from '../scheduler/layout.ts';

/** Replicas that instances hold; bounded by instances × layers × experts. */
export class ReplicaSet {
  readonly #layers: number;
  readonly #experts: number;
  readonly #keys = new Set<number>();

  /** @param model layers, and experts of each */
  constructor(model: { readonly layers: number; readonly experts: number }) {
    this.#layers = model.layers;
    this.#experts = model.experts;
  }

  get size(): number {
    return this.#keys.size;
  }

  has(replica: ReplicaMove): boolean {
    return this.#keys.has(this.#key(replica));
  }

  add(replica: ReplicaMove): void {
    this.#keys.add(this.#key(replica));
  }

  delete(replica: ReplicaMove): void {
    this.#keys.delete(this.#key(replica));
  }

  *[Symbol.iterator](): Iterator<ReplicaMove> {
    for (const key of this.#keys) {
      const row = Math.floor(key / this.#experts);
      yield {
        layer: row % this.#layers,
        instance: Math.floor(row / this.#layers),
        expert: key % this.#experts,
      };
    }
  }

  #key({ layer, instance, expert }: ReplicaMove): number {
    return (instance * this.#layers + layer) * this.#experts + expert;
  }
}

/** The replicas that a placement gives to the instances of `host`. */
export function replicasOf(placement: Placement, host: string): ReplicaMove[] {
  const own = placement.instances.filter((instance) => instance.host === host);
  return placement.layers.flatMap(({ slots }, layer) =>
    own.flatMap(({ id }) => slots[id]!.map((expert) => ({ layer, instance: id, expert }))),
  );
}

/** What `host` has to load beside what it holds before it can serve `placement`. */
export function replicasToLoad(held: ReplicaSet, placement: Placement, host: string): ReplicaMove[] {
  return replicasOf(placement, host).filter((replica) => !held.has(replica));
}

/** What `host` holds and no placement that is in use, or to be, gives to it. */
export function replicasToDrop(
  held: ReplicaSet,
  inUse: readonly Placement[],
  host: string,
  model: { readonly layers: number; readonly experts: number },
): ReplicaMove[] {
  const needed = new ReplicaSet(model);
  for (const placement of inUse) {
    for (const replica of replicasOf(placement, host)) needed.add(replica);
  }
  return [...held].filter((replica) => !needed.has(replica));
}
