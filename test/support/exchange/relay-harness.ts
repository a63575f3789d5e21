import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { allocateStep, PooledExchange, type RegimePolicy } from '../../../gpu-pool/exchange/exchange.ts';
import { RedisAnswers, RedisLink } from '../../../gpu-pool/exchange/redis-link.ts';
import { RedisRelay } from '../../../gpu-pool/exchange/redis-relay.ts';
import { staticPlacement } from '../../../shared/placement/placement.ts';
import { dispatchListKey } from '../../../shared/protocol/keys.ts';
import type { Placement } from '../../../shared/scheduler/layout.ts';
import { EXPERTS, LAYERS, MODEL, PLACEMENT_VERSION, SHAPE } from './link-harness.ts';
import type { PeerOptions } from './peer.ts';
import { type Behaviour, BehaviourSwitch } from './test-expert.ts';

export interface RelayHarnessOptions {
  /** Expert instances of each host; where their number divides that of the experts, no expert has replicas. */
  readonly instances: readonly number[];
  readonly overdueAfterMs: number;
  /** Placement version that a host holds, by its position, where it is another. */
  readonly versions?: Readonly<Record<number, number>>;
  /** Position of a host that sends every answer twice. */
  readonly doubles?: number;
}

/** Names of connections in Redis' list of clients, by which a test can kill them. */
export const RELAY_CONNECTION_NAMES = ['relay-sender', 'relay-receiver', 'peer'] as const;

let started = 0;

/** The relay of one attention host to several expert hosts, each on a thread of its own. */
export class RelayHarness {
  readonly placement: Placement;
  /** Ids of the expert hosts, in host order. */
  readonly hosts: readonly string[];
  readonly attention = `attention-${started++}`;
  /** A connection for the test itself. */
  readonly redis: Redis;
  readonly sender: Redis;
  readonly receiver: Redis;
  readonly relay: RedisRelay;
  /** Address of its Redis. */
  readonly url: string;
  readonly #options: RelayHarnessOptions;
  readonly #peers: Worker[] = [];
  readonly #behaviours: readonly BehaviourSwitch[];
  readonly #connections: Redis[] = [];

  private constructor(url: string, options: RelayHarnessOptions, behaviours: readonly SharedArrayBuffer[]) {
    this.url = url;
    this.#options = options;
    this.hosts = options.instances.map((_, position) => `host-${position}`);
    this.placement = makePlacement(options.instances, PLACEMENT_VERSION);
    this.#behaviours = behaviours.map((behaviour) => new BehaviourSwitch(behaviour));
    this.redis = this.#connect('test');
    this.sender = this.#connect('relay-sender');
    this.receiver = this.#connect('relay-receiver');
    const { attention, hosts, sender, receiver } = this;
    const { overdueAfterMs } = options;
    this.relay = new RedisRelay({
      model: MODEL,
      attention,
      shape: SHAPE,
      hosts,
      sender,
      receiver,
      overdueAfterMs,
    });
  }

  static async start(url: string, options: RelayHarnessOptions): Promise<RelayHarness> {
    const behaviours = options.instances.map(() => BehaviourSwitch.allocate());
    const harness = new RelayHarness(url, options, behaviours);
    await harness.redis.flushall();
    for (const [position, behaviour] of behaviours.entries()) {
      const version = options.versions?.[position] ?? PLACEMENT_VERSION;
      const data: PeerOptions = {
        redis: url,
        host: harness.hosts[position]!,
        placement: makePlacement(options.instances, version),
        shape: SHAPE,
        behaviour,
        doubleAnswers: options.doubles === position,
        connectionName: 'peer',
      };
      harness.#peers.push(new Worker(new URL('./peer-thread.ts', import.meta.url), { workerData: data }));
    }
    await Promise.all(harness.#peers.map((peer) => once(peer, 'message')));
    return harness;
  }

  /** Whether the host at `position` holds `expert`. */
  holds(position: number, layer: number, expert: number): boolean {
    const { instances, layers } = this.placement;
    return instances.some(({ id, host }) => {
      return host === this.hosts[position] && layers[layer]!.slots[id]!.includes(expert);
    });
  }

  /** What all experts of the host at `position` do from now on. */
  setBehaviour(position: number, behaviour: Behaviour): void {
    this.#behaviours[position]!.set(behaviour);
  }

  /** Ends the host at `position` as a crash would, after `afterMs`. */
  async lose(position: number, afterMs = 0): Promise<void> {
    await sleep(afterMs);
    await this.#peers[position]!.terminate();
  }

  /** Layer steps that wait at the host at `position` without having been looked at. */
  waitingSteps(position: number): Promise<number> {
    return this.redis.llen(dispatchListKey(MODEL, this.hosts[position]!));
  }

  /** An exchange that sends over Redis lists, or through the relay, as `policy` says. */
  openExchange(policy: RegimePolicy): PooledExchange {
    const { attention, sender, placement, relay } = this;
    const answers = new RedisAnswers(this.#connect('answers'), MODEL, attention, SHAPE);
    const { overdueAfterMs } = this.#options;
    const common = { model: MODEL, attention, shape: SHAPE, sender, answers, overdueAfterMs };
    const destinations = this.hosts.map((host) => ({
      instances: placement.instances.filter((instance) => instance.host === host).map(({ id }) => id),
      link: new RedisLink({ host, ...common }),
    }));
    return new PooledExchange({
      step: allocateStep(SHAPE),
      shape: SHAPE,
      placement,
      destinations,
      gated: true,
      relay: { relay, policy },
      closeConnections: () => answers.close(),
    });
  }

  /** Kills the connections of this name, as a broken network does; returns how many there were. */
  async killConnections(name: (typeof RELAY_CONNECTION_NAMES)[number]): Promise<number> {
    const clients = String(await this.redis.client('LIST')).split('\n');
    const ids = clients
      .filter((client) => client.includes(` name=${name} `))
      .map((client) => /id=(\d+)/.exec(client)![1]!);
    const killed = await Promise.all(ids.map((id) => this.redis.client('KILL', 'ID', id)));
    return killed.reduce((sum: number, count) => sum + Number(count), 0);
  }

  async close(): Promise<void> {
    await this.relay.close();
    for (const behaviour of this.#behaviours) behaviour.set('compute');
    await Promise.all(this.#peers.map((peer) => peer.terminate()));
    for (const connection of this.#connections) connection.disconnect();
  }

  #connect(connectionName: string): Redis {
    const connection = new Redis(this.url, { maxRetriesPerRequest: null, connectionName });
    connection.on('error', () => {});
    this.#connections.push(connection);
    return connection;
  }
}

function makePlacement(instances: readonly number[], version: number): Placement {
  const hosts = instances.flatMap((count, position) => new Array<string>(count).fill(`host-${position}`));
  return staticPlacement({
    version,
    model: MODEL,
    layers: LAYERS,
    experts: EXPERTS,
    capacity: Math.ceil(EXPERTS / hosts.length),
    instances: hosts.map((host, id) => ({ id, host })),
  });
}
