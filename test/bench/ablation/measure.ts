import { setTimeout as sleep } from 'node:timers/promises';
import { loadModelConfig } from '../../../gpu-pool/checkpoint/model-folder.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { HEARTBEAT_INTERVAL_MS } from '../../../shared/protocol/member.ts';
import { TestClient } from '../../support/generate.ts';
import { Fleet } from '../../support/nodes/fleet.ts';
import { type NodeRedis, startNodeRedis } from '../../support/nodes/node-redis.ts';
import { createNodes, type Nodes, nodesUnavailable } from '../../support/nodes/nodes.ts';
import { measureRoundTrips } from '../../support/nodes/round-trips.ts';
import { DICTIONARY_FOLDER } from '../../support/test-host.ts';
import { median } from '../results.ts';
import type { Cell } from './cell.ts';
import { type Configuration, fleetOptions, NODES, nameOf, REFERENCE } from './configurations.ts';
import { readCounters } from './counters.ts';
import { type DecodeTimes, type LoadOptions, runDecodeLoad, summarise } from './decode-load.ts';
import type { RegimeRatio } from './paper.ts';

/** The tokens of each sequence by rows: enough that all sequences decode together for some time. */
export const SHORT_LOADS: ReadonlyMap<number, number> = new Map([
  [16, 48],
  [64, 32],
  [256, 36],
  [512, 48],
]);
const DELAYS_MS = [0, 0.2, 1];
const QUICK = { delaysMs: [0.2], rows: [16, 64], rounds: 1 };
const ROUND_TRIPS = 2_000;
/** Times that a load is run until its sequences decode together. */
const ATTEMPTS = 4;
const SEEDS_PER_ATTEMPT = 100;

/** What stays the same while the configurations are measured in turn. */
interface Setting {
  readonly network: Nodes;
  readonly redis: NodeRedis;
  readonly client: TestClient;
  readonly delayMs: number;
  readonly rows: number;
  readonly tokens: number;
  readonly rounds: number;
  readonly groups: Plan['groups'];
}

interface Measured {
  readonly configuration: Configuration;
  readonly times: DecodeTimes[];
  counted?: Awaited<ReturnType<typeof readCounters>>;
}

const { vocabularySize } = loadModelConfig(DICTIONARY_FOLDER);

export interface Plan {
  /** Configurations that are compared with each other, and so are measured in turn. */
  readonly groups: readonly (readonly Configuration[])[];
  readonly rounds: number;
  /** Tokens of each sequence, for each number of rows. */
  readonly loads: ReadonlyMap<number, number>;
  readonly quick: boolean;
}

export interface Measurements {
  readonly cells: readonly Cell[];
  /** Of the groups that have the chosen regime and both pinned ones. */
  readonly regimes: readonly RegimeRatio[];
  /** What the delays between nodes were in truth. */
  readonly network: readonly Record<string, unknown>[];
}

/**
 * Measures configurations on real hosts, each host in a network namespace of its own, over rows and delays.
 *
 * @throws JanusError where this process cannot make network namespaces
 */
export async function measureConfigurations(plan: Plan): Promise<Measurements> {
  const unavailable = nodesUnavailable();
  if (unavailable !== undefined) throw new JanusError(`This benchmark needs nodes: ${unavailable}.`);
  const cells: Cell[] = [];
  const regimes: RegimeRatio[] = [];
  const network: Record<string, unknown>[] = [];
  for (const delayMs of plan.quick ? QUICK.delaysMs : DELAYS_MS) {
    const nodes = await createNodes(NODES + 1, { delayMs });
    try {
      const [from, to] = nodes.nodes;
      const { p50Ms, p99Ms } = await measureRoundTrips(from!, to!, ROUND_TRIPS);
      network.push({ delayMs, by: nodes.delayMethod, roundTripP50Ms: p50Ms, roundTripP99Ms: p99Ms });
      cells.push(...(await measureDelay(nodes, delayMs, plan, regimes)));
    } finally {
      await nodes.close();
    }
  }
  return { cells, regimes, network };
}

async function measureDelay(
  network: Nodes,
  delayMs: number,
  { quick, rounds, groups, loads }: Plan,
  regimes: RegimeRatio[],
): Promise<Cell[]> {
  const redis = await startNodeRedis(network.nodes[NODES]!);
  const client = new TestClient(redis.socketPath);
  const cells: Cell[] = [];
  try {
    for (const rows of quick ? QUICK.rows : loads.keys()) {
      const setting = {
        network,
        redis,
        client,
        delayMs,
        rows,
        tokens: loads.get(rows)!,
        groups,
        rounds: quick ? QUICK.rounds : rounds,
      };
      cells.push(...(await measureRows(setting, regimes)));
    }
  } finally {
    await client.close();
    await redis.stop();
  }
  return cells;
}

/** All configurations; one that is part of several groups is measured in each of them. */
async function measureRows(setting: Setting, regimes: RegimeRatio[]): Promise<Cell[]> {
  const measured = new Map<string, Measured>();
  for (const group of setting.groups) {
    const members = group.map((configuration) => {
      const name = nameOf(configuration);
      const known = measured.get(name) ?? { configuration, times: [] };
      measured.set(name, known);
      return known;
    });
    const before = members.map(({ times }) => times.length);
    await measureGroup(setting, members);
    const ratio = regimeRatio(setting, members, before);
    if (ratio) regimes.push(ratio);
  }
  const { delayMs, rows } = setting;
  return [...measured.values()].map(({ configuration, times, counted }) => {
    const { phases, gate, scheduler, exchange } = configuration;
    return { phases, gate, scheduler, exchange, rows, delayMs, ...summarise(times), ...counted! };
  });
}

/**
 * Throughput of the chosen regime over each pinned one in a group that has all three: the median over the rounds, in each of
 * which they ran one after the other.
 */
function regimeRatio(
  { rows, delayMs }: Setting,
  group: readonly Measured[],
  before: readonly number[],
): RegimeRatio | undefined {
  const [auto, direct, relay] = (['auto', 'direct', 'relay'] as const).map((exchange) => {
    const wanted = nameOf({ ...REFERENCE, exchange });
    const at = group.findIndex(({ configuration }) => nameOf(configuration) === wanted);
    return group[at]?.times.slice(before[at]).map(({ tokensPerSecond }) => tokensPerSecond);
  });
  if (!auto || !direct || !relay) return undefined;
  const over = (other: readonly number[]): number =>
    median(auto.map((value, round) => value / other[round]!));
  return { rows, delayMs, autoOverDirect: over(direct), autoOverRelay: over(relay) };
}

/** Runs a load again where its sequences hardly decoded together, which happens when a host gets its share late. */
async function runSteadily(client: TestClient, load: LoadOptions): Promise<DecodeTimes> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const times = await runDecodeLoad(client, { ...load, seed: load.seed + attempt * SEEDS_PER_ATTEMPT });
    if (times !== undefined) return times;
  }
  throw new Error(`${load.rows} sequences of ${load.model} hardly decoded together, ${ATTEMPTS} times.`);
}

/** The indices below `count`, beginning with another one each round, so that none is always measured first. */
const inTurn = (count: number, round: number): number[] =>
  Array.from({ length: count }, (_, i) => (i + round) % count);

/** Runs the fleets of a group in turn, round after round, so that a change of the machine's speed meets them all. */
async function measureGroup(setting: Setting, group: readonly Measured[]): Promise<void> {
  const { network, redis, client, rows, tokens, rounds } = setting;
  const fleets: Fleet[] = [];
  try {
    const starting = await Promise.allSettled(
      group.map(({ configuration }) => Fleet.start(network.nodes, redis, fleetOptions(configuration, rows))),
    );
    for (const started of starting) if (started.status === 'fulfilled') fleets.push(started.value);
    for (const started of starting) if (started.status === 'rejected') throw started.reason;
    // Round 0 warms up.
    for (let round = 0; round <= rounds; round++) {
      for (const i of inTurn(group.length, round)) {
        const { times } = group[i]!;
        const model = fleets[i]!.options.name;
        const load = { model, vocabularySize, rows, tokens, seed: round };
        if (round === 0) await runDecodeLoad(client, { ...load, tokens: tokens / 2 });
        else times.push(await runSteadily(client, load));
      }
    }
    // What the hosts counted shows with their next heartbeat.
    await sleep(1.2 * HEARTBEAT_INTERVAL_MS);
    for (const member of group) {
      const { configuration } = member;
      member.counted = await readCounters(client.redis, nameOf(configuration), configuration.phases);
    }
  } finally {
    await Promise.all(fleets.map((fleet) => fleet.stop()));
  }
}
