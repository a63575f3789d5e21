import { type LossReport, lostInstances } from '../../shared/replacement/loss.ts';
import type { Placement } from '../../shared/scheduler/layout.ts';
import type { Interrupted } from '../attention/attention-instance.ts';
import type { PlacedExperts } from '../attention/worker-protocol.ts';
import type { ExpertPool } from './expert-pool.ts';
import type { Host } from './host.ts';
import type { PlacementBell } from './placement-bell.ts';
import { planWithoutLost, reinstate, replaceLost, restoreReplicas } from './placement-repair.ts';
import { acknowledgePlacement, flipPlacement, PlacementReader, readWanted } from './placement-store.ts';
import { ServedPlacements } from './served-placements.ts';

/** Losses that are remembered; more say nothing new. */
const REPORT_LIMIT = 64;

/**
 * Keeps a host that holds attention and experts under the placement in force, as long as that names it alone. Where it is that of
 * another such host, which started later, it goes on under its own.
 */
export class OwnPlacement {
  readonly #host: Host;
  readonly #pool: ExpertPool;
  readonly #way: (placement: Placement) => (index: number) => PlacedExperts;
  readonly #served: ServedPlacements;
  readonly #reader: PlacementReader;
  /** Under which the attention instances are. */
  #placement: Placement;
  #inForce: number;
  #reports: LossReport[] = [];

  /** @param way to the experts under a placement, of the attention instance at an index */
  constructor(
    host: Host,
    pool: ExpertPool,
    first: Placement,
    way: (placement: Placement) => (index: number) => PlacedExperts,
  ) {
    this.#host = host;
    this.#pool = pool;
    this.#way = way;
    this.#placement = first;
    this.#reader = new PlacementReader(host.redis, host.options.model.name);
    this.#inForce = first.version;
    this.#served = new ServedPlacements({ host: host.id, pool, links: [] }, first);
    host.placement = () => ({
      ...this.#served.record(this.#inForce),
      version: host.attention?.placementVersion ?? this.#placement.version,
    });
  }

  /** An instance's step was interrupted: the next look takes it into account. */
  report({ version, loss, message }: Interrupted): void {
    this.#host.log(`a layer step under placement version ${version} was interrupted: ${message}`);
    if (loss !== null && this.#reports.length < REPORT_LIMIT) this.#reports.push({ version, ...loss });
  }

  /** Follows until the host closes; returns how to end it. */
  follow(bell: PlacementBell): () => Promise<void> {
    let ended = false;
    const following = (async () => {
      while (!ended) {
        // Redis may be away, or hold a placement of others: the host goes on as it is.
        await this.#look().catch(() => {});
        await bell.wait();
      }
    })();
    return async () => {
      ended = true;
      bell.ring();
      await following;
    };
  }

  async #look(): Promise<void> {
    const { redis, options, attention } = this.#host;
    if (attention === undefined) return;
    const model = options.model.name;
    const [found, wanted] = await Promise.all([this.#reader.read(), readWanted(redis, model)]);
    const held = await this.#notForgotten(found);
    const isInForce = this.#isOwn(held);
    const inForce = await this.#withoutLost(isInForce ? held : this.#placement, isInForce);
    this.#inForce = inForce.version;
    const next = wanted !== null && this.#isOwn(wanted.placement) ? wanted : null;
    if (isInForce && wanted === null) await this.#restore(inForce);
    const members = async () => [this.#host.record()];
    await this.#served.follow({ inForce, wanted: next, members });
    const version = next?.placement.version;
    if (version !== undefined && this.#served.serves(version)) {
      await acknowledgePlacement(redis, model, this.#host.id, version);
      await flipPlacement(redis, model, version);
    }
    if (inForce.version === this.#placement.version || !this.#served.serves(inForce.version)) return;
    this.#placement = inForce;
    attention.place(this.#way(inForce));
  }

  /** Gives instances whose threads were started again replicas of their own, when all of them serve. */
  async #restore(inForce: Placement): Promise<void> {
    const record = this.#host.record();
    if (!record.experts.every(({ state }) => state === 'ready')) return;
    // A host of both roles offers its instances to nobody but itself.
    const version = await restoreReplicas(this.#host.redis, inForce, [{ ...record, role: 'experts' }]);
    if (version !== null) this.#host.log(`placement version ${version} is to use all expert instances`);
  }

  /** What Redis holds, or what it held of this host before it lost what it wrote last: that is put in force again. */
  async #notForgotten(found: Placement | null): Promise<Placement> {
    const known = this.#placement;
    if (found !== null && (found.version >= known.version || !this.#isOwn(found))) return found;
    return reinstate(this.#host.redis, known, found);
  }

  #isOwn({ instances }: Placement): boolean {
    const { firstInstance, instances: count } = this.#pool.shared;
    const isMine = instances.every(({ host }) => host === this.#host.id);
    return isMine && firstInstance === 0 && instances.length === count;
  }

  async #withoutLost(inForce: Placement, publishes: boolean): Promise<Placement> {
    this.#reports = this.#reports.filter(({ version }) => version >= inForce.version);
    const members = [this.#host.record()];
    const lost = lostInstances(inForce, members, this.#reports);
    if (lost.length === 0) return inForce;
    const replace = publishes ? replaceLost : planWithoutLost;
    return (await replace(this.#host.redis, inForce, lost, members)) ?? inForce;
  }
}
