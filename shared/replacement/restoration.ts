import type { PlacedInstance, Placement } from '../scheduler/layout.ts';
import { withSlots } from './loss.ts';
import { isEmptied } from './transition.ts';

/** Expert instances that a living host offers. */
export interface Offer {
  readonly host: string;
  readonly instances: number;
  /** Numbers of those that have ended. */
  readonly ended?: readonly number[];
}

/** Instances that a placement may number: what lanes and schedulers of expert hosts are sized for. */
export const MOST_PLACED_INSTANCES = 64;

/**
 * The instances of `placement` with numbers for all that are offered. Who has numbers keeps them, so that no host has to
 * start anew: one that joins takes those of a dead host with as many instances, else the next free ones. What would be over
 * `MOST_PLACED_INSTANCES` is left out.
 */
export function seatOffers(placement: Placement, offers: readonly Offer[]): PlacedInstance[] {
  const living = new Set(offers.map(({ host }) => host));
  const hostOf = placement.instances.map(({ host }) => host);
  for (const { host, instances } of offers) {
    if (hostOf.includes(host)) continue;
    const dead = [...new Set(hostOf)].find((other) => {
      const ids = hostOf.flatMap((held, id) => (held === other ? [id] : []));
      const isFree = ids.every((id) => id >= placement.instances.length || isEmptied(placement, id));
      return !living.has(other) && ids.length === instances && isFree;
    });
    if (dead !== undefined) {
      for (const [id, held] of hostOf.entries()) if (held === dead) hostOf[id] = host;
    } else if (hostOf.length + instances <= MOST_PLACED_INSTANCES) {
      hostOf.push(...Array.from({ length: instances }, () => host));
    }
  }
  return hostOf.map((host, id) => ({ id, host }));
}

/**
 * `placement` with every offered instance in use again: those with free slots get more replicas, of the experts that have
 * fewest, and what an emergency put on an instance beyond `capacity` leaves it where another replica is. Nothing else moves.
 *
 * @param capacity C, replica slots per instance and layer outside of emergencies
 * @returns null where nothing is to be changed
 */
export function restoredPlacement(
  placement: Placement,
  offers: readonly Offer[],
  capacity: number,
  version: number,
): Placement | null {
  const instances = seatOffers(placement, offers);
  const usable = usableInstances(instances, offers);
  let changed = false;
  const slots = placement.layers.map((layout) => {
    const layer = new LayerRestoration(layout.slots, instances, placement.experts, capacity);
    for (const { id } of usable) changed = layer.fill(id) || changed;
    for (const { id } of usable) changed = layer.trim(id) || changed;
    return layer.slots;
  });
  return changed ? withSlots({ ...placement, instances }, version, slots, capacity) : null;
}

/**
 * Whether there is a reason for it: an offered instance that holds nothing, or one that holds more than its slots. Slots that a
 * placement leaves free are none, since whoever made it may have wanted that.
 */
export function needsRestoration(placement: Placement, offers: readonly Offer[], capacity: number): boolean {
  return usableInstances(seatOffers(placement, offers), offers).some(({ id }) => {
    const held = placement.layers.map(({ slots }) => slots[id]?.length ?? 0);
    return held.every((count) => count === 0) || held.some((count) => count > capacity);
  });
}

function usableInstances(instances: readonly PlacedInstance[], offers: readonly Offer[]): PlacedInstance[] {
  const offered = new Map(offers.map((offer) => [offer.host, offer]));
  return instances.filter(({ id, host }) => offered.has(host) && !offered.get(host)!.ended?.includes(id));
}

/** One layer while it is restored. */
class LayerRestoration {
  readonly slots: number[][];
  readonly #instances: readonly PlacedInstance[];
  readonly #capacity: number;
  /** [E] */
  readonly #replicas: Int32Array;

  constructor(
    slots: readonly (readonly number[])[],
    instances: readonly PlacedInstance[],
    experts: number,
    capacity: number,
  ) {
    this.slots = instances.map(({ id }) => [...(slots[id] ?? [])]);
    this.#instances = instances;
    this.#capacity = capacity;
    this.#replicas = new Int32Array(experts);
    for (const expert of this.slots.flat()) this.#replicas[expert]! += 1;
  }

  /** Gives an instance as many replicas as it has slots; returns whether it got any. */
  fill(instance: number): boolean {
    const held = this.slots[instance]!;
    let filled = false;
    while (held.length < this.#capacity) {
      const expert = this.#mostWanted(instance);
      if (expert < 0) break;
      held.push(expert);
      this.#replicas[expert]! += 1;
      filled = true;
    }
    held.sort((a, b) => a - b);
    return filled;
  }

  /** Takes from an instance that holds too many those that have most replicas; returns whether it took any. */
  trim(instance: number): boolean {
    const held = this.slots[instance]!;
    const before = held.length;
    while (held.length > this.#capacity) {
      const most = held.reduce((best, expert) =>
        this.#replicas[expert]! > this.#replicas[best]! ? expert : best,
      );
      if (this.#replicas[most]! < 2) break;
      held.splice(held.indexOf(most), 1);
      this.#replicas[most]! -= 1;
    }
    return held.length < before;
  }

  /** Of the experts that `instance` lacks, one with fewest replicas; ties: on an instance that holds too many, then on no instance of its host. */
  #mostWanted(instance: number): number {
    const own = this.#instances[instance]!.host;
    const crowded = new Set(this.slots.filter((held) => held.length > this.#capacity).flat());
    const near = new Set(this.#instances.flatMap(({ id, host }) => (host === own ? this.slots[id]! : [])));
    const rank = (expert: number): number =>
      4 * this.#replicas[expert]! + (crowded.has(expert) ? 0 : 2) + (near.has(expert) ? 1 : 0);
    let best = -1;
    for (let expert = 0; expert < this.#replicas.length; expert++) {
      if (this.slots[instance]!.includes(expert)) continue;
      if (best < 0 || rank(expert) < rank(best)) best = expert;
    }
    return best;
  }
}
