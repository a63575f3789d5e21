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

/** Hosts of one model, each on its own node. */
export class Fleet {
  readonly options: FleetOptions;
  readonly #hosts: readonly NodeProcess[];

  private constructor(options: FleetOptions, hosts: readonly NodeProcess[]) {
    this.options = options;
    this.#hosts = hosts;
  }

  /**
   * Starts hosts through the CLI, attention hosts on the first nodes and expert hosts on the next, and waits until all take
   * requests.
   *
   * @throws Error with a host's output when it does not start
   */
  static async start(nodes: readonly TestNode[], redis: NodeRedis, options: FleetOptions): Promise<Fleet> {
    const { attention, experts } = options;
    const roles = [
      ...attention.map((count) => attentionArguments(options, count)),
      ...experts.map((count) => expertArguments(options, count)),
    ];
    if (roles.length > nodes.length)
      throw new Error(`${roles.length} hosts need as many nodes, not ${nodes.length}.`);
    const hosts = roles.map((role, i) => nodes[i]!.spawn(hostCommand(nodes[i]!, redis, options, role)));
    const fleet = new Fleet(options, hosts);
    try {
      await Promise.all(hosts.map((host) => host.waitFor(/^ready: /m, START_LIMIT_MS)));
    } catch (error) {
      await fleet.kill();
      throw error;
    }
    return fleet;
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
