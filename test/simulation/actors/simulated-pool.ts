import type { ExpertPool } from '../../../gpu-pool/host/expert-pool.ts';
import type { ReplicaMove } from '../../../shared/placement/placement-moves.ts';
import {
  ReplicaSet,
  replicasOf,
  replicasToDrop,
  replicasToLoad,
} from '../../../shared/replacement/replica-set.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { type Bed, sleep } from '../bed.ts';
import { EXPERTS, LAYERS } from '../simulated-model.ts';
import type { SimulatedProcess } from '../world.ts';

const SHAPE = { layers: LAYERS, experts: EXPERTS };
const LEAST_LOAD_MS = 20;
const MOST_LOAD_MS = 150;

/** What the instance of a host holds, as `ExpertPool`: one expert after the other is loaded, while steps are served. */
export class SimulatedPool
  implements Pick<ExpertPool, 'spareSlots' | 'loaded' | 'serveVersions' | 'prepare' | 'keepOnly'>
{
  readonly spareSlots = EXPERTS;
  loaded = 0;
  readonly held = new ReplicaSet(SHAPE);
  readonly #ordered = new ReplicaSet(SHAPE);
  readonly #bed: Bed;
  readonly #process: SimulatedProcess;
  readonly #changed: () => void;
  #orders: ReplicaMove[] = [];
  #isLoading = false;

  /** @param changed called when an expert was loaded */
  constructor(bed: Bed, process: SimulatedProcess, changed: () => void) {
    this.#bed = bed;
    this.#process = process;
    this.#changed = changed;
  }

  /** Loads everything that a placement gives to the host. */
  async load(placement: Placement): Promise<void> {
    for (const replica of replicasOf(placement, this.#process.name)) {
      await this.#loadOne(replica);
    }
  }

  serveVersions(): void {}

  prepare(placement: Placement): boolean {
    const lacking = replicasToLoad(this.held, placement, this.#process.name);
    for (const replica of lacking) {
      if (this.#ordered.has(replica)) continue;
      this.#ordered.add(replica);
      this.#orders.push(replica);
    }
    if (!this.#isLoading && this.#orders.length > 0) this.#bed.spawn(() => this.#loadOrders());
    return lacking.length === 0;
  }

  keepOnly(inUse: readonly Placement[]): void {
    for (const replica of replicasToDrop(this.held, inUse, this.#process.name, SHAPE))
      this.held.delete(replica);
  }

  async #loadOrders(): Promise<void> {
    this.#isLoading = true;
    while (this.#orders.length > 0) {
      const [replica] = this.#orders.splice(0, 1);
      await this.#loadOne(replica!);
      this.#ordered.delete(replica!);
      this.#changed();
    }
    this.#isLoading = false;
  }

  async #loadOne(replica: ReplicaMove): Promise<void> {
    await sleep(this.#bed.world.between(LEAST_LOAD_MS, MOST_LOAD_MS));
    this.held.add(replica);
    this.loaded += 1;
  }
}
