import type { Redis } from 'ioredis';
import { wantedSizesKey } from '../../../shared/protocol/keys.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { type Bed, sleep } from '../bed.ts';
import { LARGEST_SKEW_MS } from '../scaling-target.ts';
import { MODEL } from '../simulated-model.ts';
import { SimulatedAttentionHost } from './attention-host.ts';
import { SimulatedExpertHost } from './expert-host.ts';
import { type GatewayKind, SimulatedGateway } from './gateway.ts';
import { startSimulatedScaler } from './scaler.ts';

const INITIAL: PoolSizes = { attention: 2, experts: 3 };
/** How often whoever starts and ends instances looks at what is wanted. */
const ACTUATE_MS = 1_000;
/** Hosts that are started in one run: more would mean that they are started in vain. */
const MOST_STARTS = 60;

/** All processes of a deployment, and who starts new ones for those that ended. */
export class Cluster {
  readonly gateways: SimulatedGateway[] = [];
  attention: SimulatedAttentionHost[] = [];
  experts: SimulatedExpertHost[] = [];
  readonly #bed: Bed;
  #starts = 0;

  constructor(bed: Bed) {
    this.#bed = bed;
    for (let i = 0; i < INITIAL.experts; i += 1) this.#startExperts();
    for (let i = 0; i < INITIAL.attention; i += 1) this.#startAttention();
    for (const kind of ['node', 'worker'] as const) this.startGateway(kind);
    for (const name of ['scaler-1', 'scaler-2']) startSimulatedScaler(bed, name, this.skewMs());
    bed.start('actuator', 0, (process) => this.#actuate(bed.connect(process, 'host').redis));
  }

  /** Names of all processes that live and talk to others. */
  get names(): string[] {
    const all = [...this.gateways, ...this.attention, ...this.experts];
    return [...all.map(({ process }) => process.name), 'scaler-1', 'scaler-2'];
  }

  /** Processes that were started in all. */
  get started(): number {
    return this.#starts;
  }

  skewMs(): number {
    return this.#bed.world.between(-LARGEST_SKEW_MS, LARGEST_SKEW_MS);
  }

  startGateway(kind: GatewayKind): void {
    this.gateways.push(new SimulatedGateway(this.#bed, this.#name('gateway'), this.skewMs(), kind));
  }

  /** Host processes follow the wanted sizes, one step at a time; those that died are replaced. */
  async #actuate(redis: Redis): Promise<void> {
    while (true) {
      await sleep(ACTUATE_MS);
      const stored = await redis.get(wantedSizesKey(MODEL));
      const wanted: PoolSizes = stored === null ? INITIAL : JSON.parse(stored);
      this.attention = this.attention.filter(({ process }) => process.isAlive);
      this.experts = this.experts.filter(({ process }) => process.isAlive);
      const serving = this.attention.filter((host) => !host.isDraining);
      if (serving.length < wanted.attention) this.#startAttention();
      if (serving.length > wanted.attention) serving[0]!.drain();
      if (this.experts.length < wanted.experts) this.#startExperts();
      if (this.experts.length > wanted.experts) this.experts[0]!.leave();
    }
  }

  #startAttention(): void {
    this.attention.push(new SimulatedAttentionHost(this.#bed, this.#name('attention'), this.skewMs()));
  }

  #startExperts(): void {
    this.experts.push(new SimulatedExpertHost(this.#bed, this.#name('experts'), this.skewMs()));
  }

  #name(kind: string): string {
    this.#starts += 1;
    this.#bed.checks.bounded('processes that were started', this.#starts, MOST_STARTS);
    return `${kind}-${this.#starts}`;
  }
}
