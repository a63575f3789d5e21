import type { Layout } from '../scheduler/layout.ts';
import { type Change, NONE } from './layout-change.ts';

/** Told when an expert begins (`1`) or ceases (`-1`) to have its only replica on an instance. */
type OnPin = (expert: number, instance: number, by: 1 | -1) => void;

/** Which instance holds which replicas, while a layout changes replica by replica. */
export class ReplicaTable {
  readonly instances: number;
  readonly capacity: number;
  /** [n_e]: experts on each instance, in no order. */
  readonly slots: readonly number[][];
  /** [E]: R(e), replicas of each expert. */
  readonly replicas: Int32Array;
  /** [E, n_e]: the first R(e) entries of a row are the instances of expert e, ascending. */
  readonly hosts: Int32Array;
  readonly #onPin: OnPin;
  #flexible: Int32Array;

  /**
   * @param layout A layout that passes `checkLayout`.
   * @param experts E, logical experts of the layer.
   */
  constructor(layout: Layout, experts: number, onPin: OnPin) {
    this.instances = layout.instances;
    this.capacity = layout.capacity;
    this.slots = layout.slots.map((held) => [...held]);
    this.replicas = new Int32Array(experts);
    this.hosts = new Int32Array(experts * layout.instances);
    this.#onPin = onPin;
    for (const [instance, held] of layout.slots.entries()) {
      for (const expert of held) {
        this.hosts[expert * layout.instances + this.replicas[expert]] = instance;
        this.replicas[expert] += 1;
      }
    }
    this.#flexible = flexibleOrder(this.replicas);
    for (const [expert, count] of this.replicas.entries()) {
      if (count === 1) onPin(expert, this.hosts[expert * layout.instances], 1);
    }
  }

  /** Experts with several replicas in the order of AEBS: fewer replicas first, then lower id. */
  get flexible(): Int32Array {
    return this.#flexible;
  }

  /** The layout as it stands. */
  layout(): Layout {
    return {
      instances: this.instances,
      capacity: this.capacity,
      slots: this.slots.map((held) => held.toSorted((a, b) => a - b)),
    };
  }

  /** Instances that hold an expert, ascending. */
  holdersOf(expert: number): Int32Array {
    const row = expert * this.instances;
    return this.hosts.subarray(row, row + this.replicas[expert]);
  }

  isOn(expert: number, instance: number): boolean {
    const row = expert * this.instances;
    for (let host = row; host < row + this.replicas[expert]; host += 1) {
      if (this.hosts[host] === instance) return true;
    }
    return false;
  }

  /** Makes a change that leaves the layout valid. */
  apply({ instance, out, in: entering, other }: Change): void {
    if (out !== NONE) this.#take(out, instance);
    if (other !== NONE && entering !== NONE) this.#take(entering, other);
    if (entering !== NONE) this.#give(entering, instance);
    if (other !== NONE && out !== NONE) this.#give(out, other);
    // An exchange leaves the replica counts as they were, and with them the order.
    if (other === NONE) this.#flexible = flexibleOrder(this.replicas);
  }

  #take(expert: number, instance: number): void {
    const row = expert * this.instances;
    const count = this.replicas[expert];
    if (count === 1) this.#onPin(expert, instance, -1);
    const position = this.hosts.indexOf(instance, row);
    this.hosts.copyWithin(position, position + 1, row + count);
    this.replicas[expert] = count - 1;
    if (count === 2) this.#onPin(expert, this.hosts[row], 1);
    const held = this.slots[instance];
    held[held.indexOf(expert)] = held[held.length - 1];
    held.pop();
  }

  #give(expert: number, instance: number): void {
    const row = expert * this.instances;
    const count = this.replicas[expert];
    if (count === 1) this.#onPin(expert, this.hosts[row], -1);
    let position = row + count;
    for (; position > row && this.hosts[position - 1] > instance; position -= 1) {
      this.hosts[position] = this.hosts[position - 1];
    }
    this.hosts[position] = instance;
    this.replicas[expert] = count + 1;
    if (count === 0) this.#onPin(expert, instance, 1);
    this.slots[instance].push(expert);
  }
}

/** Experts with several replicas, fewer replicas first, then lower id. */
function flexibleOrder(replicas: Int32Array): Int32Array {
  const flexible = Int32Array.from(replicas.keys()).filter((expert) => replicas[expert] > 1);
  return flexible.sort((a, b) => replicas[a] - replicas[b] || a - b);
}
