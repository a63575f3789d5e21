import { fileURLToPath } from 'node:url';
import type { ExchangeMode } from '../../../gpu-pool/exchange/exchange-options.ts';
import type { GatePlacement } from '../../../shared/model/config.ts';
import type { SchedulerName } from '../../../shared/scheduler/scheduling.ts';
import { DICTIONARY_FOLDER } from '../test-host.ts';
import type { NodeProcess } from './node-process.ts';
import type { NodeRedis } from './node-redis.ts';
import type { TestNode } from './nodes.ts';

const CLI = fileURLToPath(new URL('../../../infra/cli/janus.ts', import.meta.url));
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 5_000;

/** Sides that may gate. */
export const GATES: readonly GatePlacement[] = ['attention', 'experts'];

/** A model that is served by hosts on nodes of their own. */
export interface FleetOptions {
  /** Name under which it is served; fleets with different names share nodes and Redis. */
  readonly name: string;
  /** Instances of each attention host, and of each expert host. */
  readonly attention: readonly number[];
  readonly experts: readonly number[];
  readonly exchange: ExchangeMode;
  readonly gate: GatePlacement;
  readonly scheduler: SchedulerName;
  /** C, replica slots per expert instance and layer; as few as hold every expert where absent. */
  readonly slots?: number;
  /** Sequences that one attention instance runs at once, and tokens per step of it. */
  readonly kvSlots: number;
  readonly tokenBudget: number;
}

/** Starts the hosts of one role. */
type StartHosts = (options: FleetOptions, role: 'attention' | 'experts') => NodeProcess[];

/** Hosts of one model, each on its own node. */
export class Fleet {
  readonly options: FleetOptions;
  readonly #start: StartHosts;
  #attention: NodeProcess[];
  readonly #experts: NodeProcess[];

  private constructor(options: FleetOptions, start: StartHosts) {
    this.options = options;
    this.#start = start;
    this.#attention = start(options, 'attention');
    this.#experts = start(options, 'experts');
  }

  get #hosts(): readonly NodeProcess[] {
    return [...this.#attention, ...this.#experts];
  }

  /**
   * Starts hosts through the CLI, attention hosts on the first nodes and expert hosts on the next, and waits until all take
   * requests.
   *
   * @throws Error with a host's output when it does not start
   */
  static async start(nodes: readonly TestNode[], redis: NodeRedis, options: FleetOptions): Promise<Fleet> {
    const { attention, experts } = options;
    const hosts = attention.length + experts.length;
    if (hosts > nodes.length) throw new Error(`${hosts} hosts need as many nodes, not ${nodes.length}.`);
    const fleet = new Fleet(options, (of, role) => {
      const roles =
        role === 'attention'
          ? attention.map((count) => attentionArguments(of, count))
          : experts.map((count) => expertArguments(of, count));
      const first = role === 'attention' ? 0 : attention.length;
      return roles.map((args, i) => {
        const node = nodes[first + i]!;
        return node.spawn(hostCommand(node, redis, of, args));
      });
    });
    await fleet.#waitUntilReady();
    return fleet;
  }

  async #waitUntilReady(): Promise<void> {
    try {
      await Promise.all(this.#hosts.map((host) => host.waitFor(/^ready: /m, START_LIMIT_MS)));
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /**
   * Ends the attention hosts and starts others that exchange in another mode with the same expert hosts.
   *
   * @throws Error with a host's output when it does not start
   */
  async exchangeBy(exchange: ExchangeMode): Promise<void> {
    await Promise.all(this.#attention.map((host) => host.stop(STOP_LIMIT_MS)));
    this.#attention = this.#start({ ...this.options, exchange }, 'attention');
    await this.#waitUntilReady();
  }

  /** Ends the hosts as an operator would. */
  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop(STOP_LIMIT_MS)));
  }

  async kill(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.kill()));
  }
}

function attentionArguments({ experts, exchange }: FleetOptions, instances: number): string[] {
  const total = experts.reduce((sum, count) => sum + count, 0);
  return [
    'attention',
    '--attention',
    `${instances}`,
    '--expert-instances',
    `${total}`,
    '--exchange',
    exchange,
  ];
}

function expertArguments({ slots }: FleetOptions, instances: number): string[] {
  return ['experts', '--experts', `${instances}`, ...(slots === undefined ? [] : ['--slots', `${slots}`])];
}

function hostCommand(
  node: TestNode,
  redis: NodeRedis,
  { name, gate, scheduler, kvSlots, tokenBudget }: FleetOptions,
  role: readonly string[],
): string[] {
  const common = {
    '--model': DICTIONARY_FOLDER,
    '--name': name,
    '--redis': redis.url,
    '--gate': gate,
    '--scheduler': scheduler,
    '--kv-slots': `${kvSlots}`,
    '--token-budget': `${tokenBudget}`,
    '--exchange-host': node.address,
    '--node': node.name,
  };
  return [process.execPath, CLI, 'host', '--role', ...role, ...Object.entries(common).flat()];
}
