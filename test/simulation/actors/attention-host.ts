import type { Host } from '../../../gpu-pool/host/host.ts';
import { announceModel, Membership, readMembers } from '../../../gpu-pool/host/membership.ts';
import { PlacementBell } from '../../../gpu-pool/host/placement-bell.ts';
import { PlacementFollower } from '../../../gpu-pool/host/placement-follower.ts';
import { formPlacement } from '../../../gpu-pool/host/placement-formation.ts';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { TokenStreamWriter } from '../../../gpu-pool/host/token-stream-writer.ts';
import type { SequenceJob } from '../../../shared/protocol/request.ts';
import type { TokenEvent } from '../../../shared/protocol/token-event.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { type Bed, sleep } from '../bed.ts';
import { attentionInstance, hostRecord } from '../host-record.ts';
import type { SimulatedClient } from '../redis/client.ts';
import { EXPERTS, LAYERS, MODEL } from '../simulated-model.ts';
import type { SimulatedProcess } from '../world.ts';
import { endJob, JOB_LOCK_MS, renewJobs, type TakenJob, takeJob } from './queue.ts';
import { SimulatedEngine, SLOTS, unavailable } from './simulated-engine.ts';

const TAKE_MS = 300;
const RENEW_MS = JOB_LOCK_MS / 2;
/** Expert instances that must be there before the first placement is made. */
const POOL_EXPERT_INSTANCES = 2;

/**
 * An attention host with one instance. What its own thread does between Redis and the instance is our code (`PlacementFollower`,
 * `formPlacement`, `TokenStreamWriter`, `Membership`), put together as in gpu-pool/host/start-attention.ts.
 */
export class SimulatedAttentionHost {
  readonly process: SimulatedProcess;
  readonly #bed: Bed;
  readonly #held = new Map<string, TakenJob>();
  #redis!: SimulatedClient;
  #writer!: TokenStreamWriter;
  #membership!: Membership;
  #engine: SimulatedEngine | undefined;
  #events: [string, TokenEvent][] = [];
  #ended: SequenceJob[] = [];
  #takes = 0;
  #isDraining = false;

  constructor(bed: Bed, name: string, skewMs: number) {
    this.#bed = bed;
    this.process = bed.start(name, skewMs, (process) => this.#open(process));
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Version under which it sends steps; undefined while it serves nobody. */
  get placementVersion(): number | undefined {
    return this.#engine?.placementVersion;
  }

  /** Takes nothing new and leaves when all is done, as after SIGTERM. */
  drain(): void {
    this.#isDraining = true;
  }

  async #open(process: SimulatedProcess): Promise<void> {
    const { network } = this.#bed;
    this.#redis = this.#bed.connect(process, 'host');
    this.#writer = new TokenStreamWriter(this.#redis.redis);
    network.listen(process, (from, message) => {
      if (message.kind !== 'step') this.#engine?.take(from, message);
    });
    const { redis } = this.#redis;
    this.#membership = await Membership.join(redis, MODEL, process.name, () => this.#record());
    await announceModel(redis, { id: MODEL, created: 0, contextLength: 100, vocabularySize: 50_000 });
    this.#bed.spawn(() => this.#renew());
    this.#bed.spawn(() => this.#consume());
    const bell = PlacementBell.open(redis, MODEL);
    let follower = await this.#startUnderPlacement(bell);
    while (true) {
      await bell.wait();
      if (await follower.look()) continue;
      this.#engine!.stop(unavailable('This attention host is stopping; send the request again.'));
      this.#engine = undefined;
      follower = await this.#startUnderPlacement(bell);
    }
  }

  async #startUnderPlacement(bell: PlacementBell): Promise<PlacementFollower> {
    const placement = await this.#waitForPlacement(bell);
    const host = this.#asHost();
    const follower = new PlacementFollower(host, placement, (next) => {
      if (this.#engine !== undefined) this.#bed.parts.place(this.#engine, next);
    });
    this.#engine = new SimulatedEngine(this.#bed, this.process, placement, {
      event: (requestId, event) => this.#events.push([requestId, event]),
      ended: (job) => this.#ended.push(job),
      stepped: () => this.#store(),
      interrupted: (version, loss, message) => {
        follower.report({ version, loss, message });
        bell.ring();
      },
    });
    await this.#membership.renew();
    return follower;
  }

  async #waitForPlacement(bell: PlacementBell): Promise<Placement> {
    const { redis } = this.#redis;
    while (true) {
      const [members, held] = await Promise.all([readMembers(redis, MODEL), readPlacement(redis, MODEL)]);
      if ((await formPlacement(this.#asHost(), held, members)) === null) return held!;
      await bell.wait();
    }
  }

  /** The host as our code knows it: as much of it as following placements asks for. */
  #asHost(): Host {
    const engine = () => this.#engine;
    return {
      redis: this.#redis.redis,
      config: { layers: LAYERS, experts: EXPERTS },
      options: {
        model: { name: MODEL },
        poolExpertInstances: POOL_EXPERT_INSTANCES,
        scheduler: 'aebs',
      },
      log: () => {},
      announce: () => this.#membership.renew(),
      get attention() {
        return engine();
      },
    } as unknown as Host;
  }

  #record() {
    const engine = this.#engine;
    const state = this.#isDraining ? 'draining' : engine === undefined ? 'loading' : 'ready';
    const version = engine?.placementVersion;
    const placement = version === undefined ? undefined : { version, prepared: null, spareSlots: 0 };
    const attention = [attentionInstance(`${this.process.name}-0`, state, SLOTS, engine)];
    return hostRecord(this.process.name, 'attention', { attention, placement });
  }

  /** Tells what a step brought, as gpu-pool/attention/attention-instance.ts does: the next step does not wait for it. */
  #store(): void {
    const [events, ended] = [this.#events, this.#ended];
    this.#events = [];
    this.#ended = [];
    const stored = this.#writer.write(events);
    this.#bed.spawn(async () => {
      await stored;
      for (const job of ended) await this.#end(job);
    });
  }

  async #end(job: SequenceJob): Promise<void> {
    const taken = this.#held.get(job.requestId);
    this.#held.delete(job.requestId);
    this.#writer.doorbells.leave(job);
    if (taken !== undefined) await endJob(this.#redis, taken);
  }

  async #renew(): Promise<void> {
    while (true) {
      await sleep(RENEW_MS);
      if (this.#held.size > 0) await renewJobs(this.#redis, [...this.#held.values()]);
    }
  }

  /** Takes jobs while there are slots, and goes on with those that another host has begun. */
  async #consume(): Promise<void> {
    while (!this.#isDraining || this.#held.size > 0) {
      if (!this.#isDraining && this.#engine !== undefined && this.#held.size < SLOTS) await this.#take();
      await sleep(TAKE_MS);
    }
    await this.#membership.leave();
    this.#bed.kill(this.process);
  }

  async #take(): Promise<void> {
    this.#takes += 1;
    const taken = await takeJob(this.#redis, `${this.process.name}/${this.#takes}`);
    // Its own attempt at the job goes on, though it has lost its lock; nothing is known of two in one host.
    if (taken === null || this.#held.has(taken.id)) return;
    const { job, attempt } = taken;
    if (attempt > 1) this.#bed.checks.takeovers += 1;
    this.#held.set(taken.id, taken);
    this.#writer.doorbells.enter(job);
    const emitted = attempt > 1 ? await this.#writer.emittedTokens(job.requestId, job.choice) : [];
    if (this.#engine !== undefined) return this.#engine.submit(job, emitted);
    const error = unavailable('No attention instance of this host is running any more.');
    await this.#writer.write([[job.requestId, { kind: 'failed', choice: job.choice, error }]]);
    await this.#end(job);
  }
}
