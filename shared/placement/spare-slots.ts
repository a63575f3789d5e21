import type { Layout, PlacedInstance, Placement } from '../scheduler/layout.ts';
import { type Change, NONE } from './layout-change.ts';
import { checkLoads } from './replicas.ts';

/** [n_e]: failure domain of each instance, what dies together. Its host; where all are on one, the instance itself. */
export function failureDomains(instances: readonly PlacedInstance[]): Int32Array {
  const hosts = [...new Set(instances.map(({ host }) => host))];
  return Int32Array.from(instances, ({ id, host }) => (hosts.length === 1 ? id : hosts.indexOf(host)));
}

/** The failure domains whose loss experts are to survive under a placement; null where its spare slots are for load. */
export function coveredDomains({
  instances,
  spareSlots,
}: Pick<Placement, 'instances' | 'spareSlots'>): Int32Array | null {
  return spareSlots === 'coverage' ? failureDomains(instances) : null;
}

/** How many experts of a layer survive the death of any one failure domain. */
export function coveredExperts({ slots }: Layout, experts: number, domains: Int32Array): number {
  const holders = holdersOf(slots, experts);
  return holders.filter((instances) => isCovered(instances, domains)).length;
}

/** Whether a change leaves every expert covered that is. */
export function keepsCoverage(
  { instance, out, in: entering, other }: Change,
  holders: (expert: number) => Int32Array,
  domains: Int32Array,
): boolean {
  const keeps = (expert: number, from: number, to: number): boolean => {
    if (expert === NONE || from === NONE) return true;
    const before = [...holders(expert)];
    const left = before.filter((holder) => holder !== from);
    return !isCovered(before, domains) || isCovered(to === NONE ? left : [...left, to], domains);
  };
  return keeps(out, instance, other) && keeps(entering, other, instance);
}

/**
 * Fills the free slots of a layout for coverage. First experts that are in one failure domain only get a replica in another,
 * hottest first (ties: lowest id), as many of them as the slots let; then replicas go where load per replica is largest. Each
 * goes to the instance with the least load (ties: lowest id).
 *
 * @param layout Every expert has a replica.
 * @param loads [E]: c(e), activations of each expert over a window; all zero say nothing and count as equal.
 * @param domains [n_e]: see {@link failureDomains}.
 */
export function coverSpareSlots(layout: Layout, loads: ArrayLike<number>, domains: Int32Array): Layout {
  const filling = new SlotFilling(layout, loads, domains);
  filling.cover();
  filling.fillByLoad();
  return filling.layout();
}

/** A replica that was added. */
interface Addition {
  readonly expert: number;
  readonly instance: number;
}

/** A layout while its free slots are filled. */
class SlotFilling {
  readonly #given: Layout;
  readonly #slots: readonly number[][];
  /** [E]: instances of each expert, in order of arrival. */
  readonly #holders: readonly number[][];
  readonly #loads: Float64Array;
  readonly #domains: Int32Array;

  constructor(layout: Layout, loads: ArrayLike<number>, domains: Int32Array) {
    this.#given = layout;
    this.#slots = layout.slots.map((held) => [...held]);
    this.#holders = holdersOf(layout.slots, loads.length);
    const nothingSeen = checkLoads(loads) === 0;
    this.#loads = Float64Array.from(loads, (load) => (nothingSeen ? 1 : load));
    this.#domains = domains;
  }

  layout(): Layout {
    return { ...this.#given, slots: this.#slots.map((held) => held.toSorted((a, b) => a - b)) };
  }

  cover(): void {
    const added: Addition[] = [];
    const uncovered = [...this.#holders.keys()].filter(
      (expert) => !isCovered(this.#holders[expert], this.#domains),
    );
    for (const expert of uncovered.sort((a, b) => this.#loads[b] - this.#loads[a] || a - b)) {
      const home = this.#homeOf(expert);
      const free = this.#lightest((instance) => this.#domains[instance] !== home);
      const instance = free >= 0 ? free : this.#makeRoom(added, home);
      if (instance < 0) continue;
      this.#put(expert, instance);
      added.push({ expert, instance });
    }
  }

  fillByLoad(): void {
    const open = new Set(this.#holders.keys());
    while (open.size > 0 && this.#lightest(() => true) >= 0) {
      let neediest = -1;
      for (const expert of open) {
        if (neediest < 0 || this.#perReplica(expert) > this.#perReplica(neediest)) neediest = expert;
      }
      const instance = this.#lightest((free) => !this.#holders[neediest].includes(free));
      if (instance < 0) open.delete(neediest);
      else this.#put(neediest, instance);
    }
  }

  /**
   * Slots are free in domain `home` only: moves a replica there that was added elsewhere, of an expert that is not at home
   * there, and returns the instance that it leaves; −1 where there is none. No longer chain of moves would help where this
   * does not: it would have to end with such a replica, whose place could be had at once.
   */
  #makeRoom(added: Addition[], home: number): number {
    const to = this.#lightest((instance) => this.#domains[instance] === home);
    const at = added.findLastIndex(
      ({ expert, instance }) => this.#domains[instance] !== home && this.#homeOf(expert) !== home,
    );
    if (to < 0 || at < 0) return -1;
    const { expert, instance } = added[at];
    this.#take(expert, instance);
    this.#put(expert, to);
    added[at] = { expert, instance: to };
    return instance;
  }

  /** The failure domain that an expert was in before any replica was added. */
  #homeOf(expert: number): number {
    return this.#domains[this.#holders[expert][0]];
  }

  #perReplica(expert: number): number {
    return this.#loads[expert] / this.#holders[expert].length;
  }

  /** Of the instances with a free slot that may be taken, the one with the least load; −1 where there is none. */
  #lightest(mayTake: (instance: number) => boolean): number {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const [instance, held] of this.#slots.entries()) {
      if (held.length >= this.#given.capacity || !mayTake(instance)) continue;
      const load = held.reduce((sum, expert) => sum + this.#perReplica(expert), 0);
      if (load >= least) continue;
      best = instance;
      least = load;
    }
    return best;
  }

  #put(expert: number, instance: number): void {
    this.#slots[instance].push(expert);
    this.#holders[expert].push(instance);
  }

  #take(expert: number, instance: number): void {
    const held = this.#slots[instance];
    held.splice(held.indexOf(expert), 1);
    const holders = this.#holders[expert];
    holders.splice(holders.indexOf(instance), 1);
  }
}

function isCovered(holders: readonly number[], domains: Int32Array): boolean {
  return holders.some((instance) => domains[instance] !== domains[holders[0]]);
}

/** [E]: instances that hold each expert, ascending. */
function holdersOf(slots: Layout['slots'], experts: number): number[][] {
  const holders = Array.from({ length: experts }, (): number[] => []);
  for (const [instance, held] of slots.entries()) {
    for (const expert of held) holders[expert].push(instance);
  }
  return holders;
}
