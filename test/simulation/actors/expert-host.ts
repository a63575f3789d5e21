import type { ExpertPool } from '../../../gpu-pool/host/expert-pool.ts';
import { Membership, readMembers } from '../../../gpu-pool/host/membership.ts';
import { PlacementBell } from '../../../gpu-pool/host/placement-bell.ts';
import { flipPlacement, readPlacement, readWanted } from '../../../gpu-pool/host/placement-store.ts';
import { ServedPlacements, type ServedPlacementsParts } from '../../../gpu-pool/host/served-placements.ts';
import type { HostPlacementRecord } from '../../../shared/protocol/member.ts';
import { hasSameSeat, MOST_SERVED_VERSIONS } from '../../../shared/replacement/transition.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import type { Bed } from '../bed.ts';
import { expertInstance, hostRecord } from '../host-record.ts';
import type { LayerAnswer, LayerFrame } from '../messages.ts';
import type { SimulatedClient } from '../redis/client.ts';
import { CAPACITY } from '../scaling-target.ts';
import { contributionOf, MODEL, TOP_K } from '../simulated-model.ts';
import type { SimulatedProcess } from '../world.ts';
import { SimulatedPool } from './simulated-pool.ts';
import { StepScheduler } from './step-scheduler.ts';

const LEAST_COMPUTE_MS = 8;
const MOST_COMPUTE_MS = 30;

/** A placement under which steps are computed. */
interface Served {
  readonly placement: Placement;
  readonly scheduler: StepScheduler;
}

/** The instance of the host while it has a number in a placement. */
interface Serving {
  readonly first: Placement;
  readonly pool: SimulatedPool;
  readonly placements: ServedPlacements;
}

/**
 * An expert host with one instance. Which placements it serves is decided by our code (`ServedPlacements`), put together as in
 * gpu-pool/host/start-experts.ts.
 */
export class SimulatedExpertHost {
  readonly process: SimulatedProcess;
  readonly #bed: Bed;
  readonly #steps = new Map<number, Served>();
  #redis!: SimulatedClient;
  #membership!: Membership;
  #serving: Serving | undefined;
  #record: (() => HostPlacementRecord) | undefined;

  constructor(bed: Bed, name: string, skewMs: number) {
    this.#bed = bed;
    this.process = bed.start(name, skewMs, (process) => this.#open(process));
  }

  /** What it holds; undefined while it serves nothing. */
  get pool(): SimulatedPool | undefined {
    return this.#serving?.pool;
  }

  /** Leaves as after SIGTERM. */
  leave(): void {
    this.#bed.world.after(0, this.process, () =>
      this.#bed.spawn(async () => {
        await this.#membership.leave();
        this.#bed.kill(this.process);
      }),
    );
  }

  async #open(process: SimulatedProcess): Promise<void> {
    this.#redis = this.#bed.connect(process, 'host');
    this.#bed.network.listen(process, (from, message) => {
      if (message.kind === 'step') this.#answer(from, message);
    });
    const { redis } = this.#redis;
    this.#membership = await Membership.join(redis, MODEL, process.name, () => this.#hostRecord());
    const bell = PlacementBell.open(redis, MODEL);
    while (true) {
      await this.#look(bell);
      await bell.wait();
    }
  }

  #hostRecord() {
    const { name } = this.process;
    const id = this.#serving?.first.instances.find(({ host }) => host === name)?.id ?? 0;
    const state = this.#serving === undefined ? 'starting' : 'ready';
    const experts = [expertInstance(id, state, CAPACITY)];
    return hostRecord(name, 'experts', { experts, placement: this.#record?.() });
  }

  async #look(bell: PlacementBell): Promise<void> {
    const { redis } = this.#redis;
    const { name } = this.process;
    const [inForce, wanted] = await Promise.all([readPlacement(redis, MODEL), readWanted(redis, MODEL)]);
    const names = (placement: Placement | undefined | null) =>
      placement?.instances.some(({ host }) => host === name) === true;
    const placement = [inForce, wanted?.placement].find(names);
    if (placement && (this.#serving === undefined || !hasSameSeat(name, this.#serving.first, placement))) {
      await this.#startAnew(bell, placement);
    }
    if (this.#serving === undefined) return;
    const { placements } = this.#serving;
    await placements.follow({ inForce, wanted, members: () => readMembers(redis, MODEL) });
    const version = inForce?.version ?? null;
    this.#record = () => placements.record(version);
    const next = wanted?.placement.version;
    if (next === undefined || !placements.serves(next)) return;
    await this.#bed.parts.acknowledge(redis, name, next);
    await flipPlacement(redis, MODEL, next);
  }

  /** Loads its share of a placement in which its instance has another number than before. */
  async #startAnew(bell: PlacementBell, placement: Placement): Promise<void> {
    this.#serving = undefined;
    this.#steps.clear();
    const pool = new SimulatedPool(this.#bed, this.process, () => bell.ring());
    await pool.load(placement);
    const parts = {
      host: this.process.name,
      pool: pool as unknown as ExpertPool,
      links: [{ serve: (placements: readonly Placement[]) => this.#serve(placements) }],
      server: { serveVersions: () => {} },
    };
    this.#serve([placement]);
    const placements = new ServedPlacements(parts as unknown as ServedPlacementsParts, placement);
    this.#serving = { first: placement, pool, placements };
    await this.#membership.renew();
  }

  #serve(placements: readonly Placement[]): void {
    const { checks } = this.#bed;
    const { name } = this.process;
    checks.bounded(`placements that ${name} serves`, placements.length, MOST_SERVED_VERSIONS);
    const kept = placements.map(({ version }) => version);
    for (const version of this.#steps.keys()) if (!kept.includes(version)) this.#steps.delete(version);
    for (const placement of placements) {
      checks.knows(name, placement);
      if (this.#steps.has(placement.version)) continue;
      this.#steps.set(placement.version, {
        placement,
        scheduler: new StepScheduler(this.#bed, placement, name),
      });
    }
  }

  #answer(from: string, frame: LayerFrame): void {
    const { world, network } = this.#bed;
    const served = this.#steps.get(frame.version);
    const held = Math.max(0, ...this.#steps.keys());
    const answer: LayerAnswer =
      served === undefined ? { kind: 'stale', step: frame.step, held } : this.#compute(served, frame);
    const delayMs = served === undefined ? 0 : world.between(LEAST_COMPUTE_MS, MOST_COMPUTE_MS);
    world.after(delayMs, this.process, () => network.send(this.process, from, answer));
  }

  #compute({ placement, scheduler }: Served, { step, layer, rows, expertIds }: LayerFrame): LayerAnswer {
    const instanceOf = scheduler.schedule(step, layer, expertIds, rows.length);
    const { name } = this.process;
    const isOwn = placement.instances.map(({ host }) => host === name);
    const sums = rows.map((row, at) => {
      let sum = 0;
      for (const expert of expertIds.subarray(at * TOP_K, (at + 1) * TOP_K)) {
        const instance = instanceOf[expert]!;
        if (!isOwn[instance]) continue;
        if (!this.pool!.held.has({ layer, instance, expert })) this.#lacks(expert, layer, placement.version);
        sum += contributionOf(row, layer, expert);
      }
      return sum;
    });
    return { kind: 'share', step, sums };
  }

  #lacks(expert: number, layer: number, version: number): void {
    const detail = `${this.process.name} computes expert ${expert} of layer ${layer} under version ${version} without holding it`;
    this.#bed.checks.fail('a step is computed only by hosts that hold its experts', detail);
  }
}
