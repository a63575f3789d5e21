import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ReplicaMove } from '../../shared/placement/placement-moves.ts';
import type { ExpertInstanceRecord } from '../../shared/protocol/member.ts';
import {
  ReplicaSet,
  replicasOf,
  replicasToDrop,
  replicasToLoad,
} from '../../shared/replacement/replica-set.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { LaneOptions } from '../exchange/lane-layout.ts';
import {
  allocateSharedExchange,
  openHostMemory,
  openLane,
  type SharedExchange,
} from '../exchange/lane-memory.ts';
import { ExpertInstance } from '../experts/expert-instance.ts';
import type { LoadOrder } from '../experts/replica-loader.ts';
import type { ModelSource } from '../runtime/model-source.ts';
import type { ExpertRoom } from './expert-room.ts';
import type { KernelPlan } from './kernel-plan.ts';
import { Restarts } from './restarts.ts';

export interface ExpertPoolOptions {
  readonly host: string;
  /** That which the instances load first. */
  readonly placement: Placement;
  readonly model: ModelSource;
  readonly shape: LaneOptions['shape'];
  /** Number of lanes: attention instances of this host, and endpoints of remote links. */
  readonly lanes: number;
  /** Expert instances of all hosts that lanes are sized for. */
  readonly placedInstances: number;
  /** Null where ONNX Runtime computes everything. */
  readonly kernels: KernelPlan | null;
  /** Told of an instance whose thread has ended, and of an expert that could not be loaded. */
  readonly log: (message: string) => void;
  /** Called when all that was ordered is loaded, or when an instance has ended or was started again. */
  readonly changed?: () => void;
  /** Called when an instance has ended too often. */
  readonly givenUp: (reason: string) => void;
}

/** The expert instances of one host, what they hold, and the memory through which they are reached. */
export class ExpertPool {
  readonly shared: SharedExchange;
  readonly #instances: ExpertInstance[];
  readonly #restarts: readonly Restarts[];
  readonly #options: ExpertPoolOptions;
  readonly #model: { readonly layers: number; readonly experts: number };
  readonly #held: ReplicaSet;
  /** Told to be loaded, and not held yet. */
  readonly #ordered: ReplicaSet;
  /** Replicas that were loaded since the start. */
  loaded = 0;
  #isStopping = false;

  private constructor(options: ExpertPoolOptions) {
    const { host, placement, shape, lanes, placedInstances, kernels, log, givenUp } = options;
    this.#options = options;
    this.#model = { layers: placement.layers.length, experts: placement.experts };
    this.#held = new ReplicaSet(this.#model);
    this.#ordered = new ReplicaSet(this.#model);
    for (const replica of replicasOf(placement, host)) this.#held.add(replica);
    const ids = placement.instances
      .filter((instance) => instance.host === host)
      .map((instance) => instance.id);
    if (ids.length === 0)
      throw new JanusError(`Placement version ${placement.version} gives no instance to ${host}.`);
    const laneOptions = { shape, instances: ids.length, placedInstances, experts: placement.experts };
    this.shared = allocateSharedExchange(host, ids[0]!, laneOptions, lanes, kernels?.lanes);
    this.serveVersions([placement.version]);
    this.#instances = ids.map((_, index) => this.#open(index, false));
    this.#restarts = ids.map((id, index) => {
      const start = () => this.#startAgain(index);
      return new Restarts({ name: `expert instance ${id}`, start, log, givenUp });
    });
  }

  get instances(): readonly ExpertInstance[] {
    return this.#instances;
  }

  /** @param again whether the experts that the instance at `index` holds were loaded by a thread before */
  #open(index: number, again: boolean): ExpertInstance {
    const { model, placement, kernels } = this.#options;
    const id = this.shared.firstInstance + index;
    const experts = [...this.#held]
      .filter(({ instance }) => instance === id)
      // What lies in kernel memory outlives the thread that put it there.
      .map(({ layer, expert }) => ({ layer, expert, isThere: again && this.#room(layer) !== undefined }));
    const { shared } = this;
    const start = { id, slots: placement.capacity, experts, model, shared, kernels: kernels?.expert(index) };
    return new ExpertInstance(start, {
      lost: (instance, reason) => this.#lose(instance, reason),
      loaded: (replica, failure) => this.#take(replica, failure),
    });
  }

  async #startAgain(index: number): Promise<void> {
    if (this.#isStopping) throw new JanusError('The host is stopping.');
    const instance = this.#open(index, true);
    this.#instances[index] = instance;
    await instance.ready;
    this.#options.changed?.();
  }

  /**
   * Starts the instances that a placement gives to the host and loads their experts.
   *
   * @throws JanusError when an instance cannot load its experts; then none is left running
   */
  static async start(options: ExpertPoolOptions): Promise<ExpertPool> {
    const pool = new ExpertPool(options);
    const loaded = await Promise.allSettled(pool.instances.map((instance) => instance.ready));
    const failed = loaded.find((result) => result.status === 'rejected');
    if (failed) {
      await pool.stop();
      throw failed.reason;
    }
    return pool;
  }

  /** Replicas per layer that each instance can hold beyond its slots: as many again, where kernel memory is not the bound. */
  get spareSlots(): number {
    const { kernels, placement } = this.#options;
    if (kernels === null || kernels.room.holdsAll) return placement.capacity;
    return Math.floor(kernels.room.spareExperts / this.instances.length);
  }

  /** Says to the instances which placement versions they serve. */
  serveVersions(versions: readonly number[]): void {
    openHostMemory(this.shared).serveVersions(Math.min(...versions), Math.max(...versions));
  }

  /**
   * Orders what the host lacks for `placement`; returns whether it holds everything.
   *
   * @param urgent true where nobody is served until it does
   */
  prepare(placement: Placement, urgent: boolean): boolean {
    const lacking = replicasToLoad(this.#held, placement, this.#options.host);
    const orders = new Map<number, LoadOrder[]>();
    for (const replica of lacking) {
      // One whose thread is started again is given its orders when it serves.
      const isReady = this.#instanceOf(replica.instance).state === 'ready';
      const order = this.#ordered.has(replica) || !isReady ? undefined : this.#orderOf(replica);
      if (order === undefined) continue;
      this.#ordered.add(replica);
      const { instance } = replica;
      orders.set(instance, [...(orders.get(instance) ?? []), order]);
    }
    for (const instance of this.instances) {
      const own = orders.get(instance.id);
      if (own !== undefined) instance.load(own, urgent);
    }
    return lacking.length === 0;
  }

  /** Drops what none of the placements in use gives to the host. */
  keepOnly(inUse: readonly Placement[]): void {
    const drops = replicasToDrop(this.#held, inUse, this.#options.host, this.#model);
    for (const [id, experts] of Map.groupBy(drops, ({ instance }) => instance)) {
      this.#instanceOf(id).drop(experts);
    }
    for (const replica of drops) {
      this.#held.delete(replica);
      this.#giveUnknown(replica);
    }
  }

  #instanceOf(id: number): ExpertInstance {
    return this.#instances[id - this.shared.firstInstance]!;
  }

  /**
   * Makes the lane of a sender whose thread has ended fit for another one. When it resolves, no instance computes anything for that
   * thread any more.
   *
   * @throws JanusError when that takes too long
   */
  async resetLane(index: number): Promise<void> {
    const lane = openLane(this.shared, index);
    lane.abandon();
    await Promise.all(this.#instances.map((instance) => instance.passed()));
    lane.reset();
  }

  /** How an instance is to load a replica; undefined while it cannot be. */
  #orderOf({ layer, expert }: ReplicaMove): LoadOrder | undefined {
    const room = this.#room(layer);
    if (room === undefined) return { layer, expert, isThere: false };
    if (this.#anywhere(this.#held, layer, expert)) return { layer, expert, isThere: true };
    // Another instance is about to load it to the same place.
    if (this.#anywhere(this.#ordered, layer, expert)) return undefined;
    return room.take(layer, expert) ? { layer, expert, isThere: false } : undefined;
  }

  #room(layer: number): ExpertRoom | undefined {
    const room = this.#options.kernels?.room;
    return room?.holds(layer) ? room : undefined;
  }

  #isKnown({ layer, expert }: ReplicaMove): boolean {
    return this.#anywhere(this.#held, layer, expert) || this.#anywhere(this.#ordered, layer, expert);
  }

  #anywhere(set: ReplicaSet, layer: number, expert: number): boolean {
    return this.instances.some(({ id }) => set.has({ layer, instance: id, expert }));
  }

  #take(replica: ReplicaMove, failure: string | undefined): void {
    this.#ordered.delete(replica);
    if (failure === undefined) {
      this.#held.add(replica);
      this.loaded++;
    } else {
      const { layer, expert, instance } = replica;
      this.#options.log(
        `expert instance ${instance} could not load expert ${expert} of layer ${layer}: ${failure}`,
      );
      this.#forget(replica);
    }
    if (this.#ordered.size === 0) this.#options.changed?.();
  }

  /** A replica that was ordered will not be held. */
  #forget(replica: ReplicaMove): void {
    this.#ordered.delete(replica);
    this.#giveUnknown(replica);
  }

  /** Takes the place of an expert back that none of the instances holds, or is about to. */
  #giveUnknown(replica: ReplicaMove): void {
    const { layer, expert } = replica;
    if (!this.#isKnown(replica)) this.#room(layer)?.give(layer, expert);
  }

  #lose(instance: number, reason: string): void {
    for (const replica of [...this.#ordered].filter((ordered) => ordered.instance === instance)) {
      this.#forget(replica);
    }
    this.#restarts[instance - this.shared.firstInstance]!.ended(reason);
    this.#options.changed?.();
  }

  records(): ExpertInstanceRecord[] {
    return this.instances.map((instance) => instance.record());
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    const closed = this.#restarts.map((restarts) => restarts.close());
    await Promise.all(this.#instances.map((instance) => instance.stop()));
    await Promise.all(closed);
  }
}
