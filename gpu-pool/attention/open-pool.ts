import { availableParallelism } from 'node:os';
import { Redis } from 'ioredis';
import { RegimeChooser } from '../../shared/exchange/regime-chooser.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import { isReplaceable } from '../../shared/replacement/loss.ts';
import { servingHosts } from '../../shared/replacement/transition.ts';
import { placementHosts } from '../../shared/scheduler/layout.ts';
import { AbsentLink } from '../exchange/absent-link.ts';
import type { KernelSum } from '../exchange/combine.ts';
import {
  allocateStep,
  type Destination,
  type Exchange,
  PooledExchange,
  type PooledExchangeOptions,
} from '../exchange/exchange.ts';
import { HostRound } from '../exchange/host-round.ts';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import type { ExpertLink } from '../exchange/link.ts';
import { SILENCE_LIMIT_MS } from '../exchange/peer-watch.ts';
import { RedisAnswers, RedisLink } from '../exchange/redis-link.ts';
import { RedisRelay } from '../exchange/redis-relay.ts';
import { RoundExchange, RoundRows } from '../exchange/round-exchange.ts';
import { type Assistant, SharedMemoryLink } from '../exchange/shared-memory-link.ts';
import { SocketLink } from '../exchange/socket-link.ts';
import { loadKernels } from '../kernels/load-kernels.ts';
import type { GateModel } from '../runtime/gate-model.ts';
import type { KernelSource } from '../runtime/kernel/kernel-source.ts';
import { DEFAULT_TRACE_SAMPLING, TraceSampler } from './trace-sampler.ts';
import type { AttentionWorkerData, ExpertSource } from './worker-protocol.ts';

/** Floats that the kernel sums at once. */
const SUMMED_AT_ONCE = 8;

type LocalPool = Extract<ExpertSource, { kind: 'local' }>;
type RemotePool = Extract<ExpertSource, { kind: 'remote' }>;

function commonOptions(data: AttentionWorkerData, pool: LocalPool | RemotePool, shape: LayerStepShape) {
  return {
    shape,
    placement: pool.placement,
    gated: data.gate === 'attention',
    sampler: new TraceSampler(data.trace, DEFAULT_TRACE_SAMPLING.stepsPerSample),
  };
}

/**
 * Opens the exchange of an attention instance whose experts are all on its host.
 *
 * @param gate routes on the experts' side, where they gate
 * @param assistant computes experts on this thread, beside their instances
 */
export function openLocalPool(
  data: AttentionWorkerData,
  pool: LocalPool,
  shape: LayerStepShape,
  gate: GateModel | undefined,
  assistant: Assistant | undefined,
): Exchange {
  const { placement, shared, lane, overdueAfterMs } = pool;
  const step = openLane(shared, lane);
  const link = new SharedMemoryLink({
    host: shared.host,
    memory: openHostMemory(shared),
    lane: step,
    placement,
    wait: 'block',
    overdueAfterMs,
    spinMs: data.kernels?.team.spinMs ?? 0,
    wakes: availableParallelism() > 1,
    ...(assistant && { assistant }),
    ...(data.kernels && { kernelSum: kernelSum(data.kernels.source) }),
    ...(gate && { gate: (...routing: Parameters<GateModel['route']>) => gate.route(...routing) }),
  });
  const instances = placement.instances.map((instance) => instance.id);
  return new PooledExchange({
    ...commonOptions(data, pool, shape),
    step,
    destinations: [{ instances, link }],
  });
}

/** Sums outputs in kernel memory, in the order of `Combiner`. */
function kernelSum({ memory, module }: KernelSource): KernelSum {
  const kernels = loadKernels(memory, module);
  const { buffer } = memory;
  return ({ outputs, gateWeights, groups: { positionOf }, rows, shape }, from, to, output) => {
    const { expertsPerToken, hiddenSize } = shape;
    if (outputs.buffer !== buffer || output.buffer !== buffer || hiddenSize % SUMMED_AT_ONCE !== 0)
      return false;
    const [positions, weights] = [positionOf.byteOffset, gateWeights.byteOffset];
    const sum = output.byteOffset;
    kernels.combine(outputs.byteOffset, positions, weights, rows, expertsPerToken, hiddenSize, from, to, sum);
    return true;
  };
}

/** Opens the exchange of an attention instance whose experts are on other hosts, alone or together with those of its host. */
export function openRemotePool(data: AttentionWorkerData, pool: RemotePool, own: LayerStepShape): Exchange {
  if (pool.round === null) return new PooledExchange(remoteOptions(data, pool, own));
  const { memory, index, rows } = pool.round;
  const together = { ...own, maxRows: own.maxRows * rows.length };
  const inner = new PooledExchange(remoteOptions(data, pool, together));
  const views = rows.map((buffer) => new RoundRows(own, buffer));
  return new RoundExchange(new HostRound(memory, index), index, views, inner, own, together.maxRows);
}

function remoteOptions(
  data: AttentionWorkerData,
  pool: RemotePool,
  shape: LayerStepShape,
): PooledExchangeOptions {
  const { placement, mode, redisUrl, overdueAfterMs } = pool;
  const connections = new Connections(redisUrl);
  const hosts = placementHosts(placement);
  const links = new LinkFactory(data, pool, shape, connections);
  const serving = servingHosts(placement);
  const instancesOf = (host: string) =>
    placement.instances.filter((instance) => instance.host === host).map((instance) => instance.id);
  const open = (host: string, only?: number) =>
    serving.includes(host) ? links.open(host, only) : new AbsentLink(host);
  const destinations: Destination[] =
    mode === 'one-phase'
      ? placement.instances.map(({ id, host }) => ({ instances: [id], link: open(host, id) }))
      : hosts.map((host) => ({ instances: instancesOf(host), link: open(host) }));
  const common = { ...commonOptions(data, pool, shape), step: allocateStep(shape), destinations };
  const closeConnections = async () => {
    await links.close();
    connections.close();
  };
  if (serving.length < 2 || (mode !== 'auto' && mode !== 'relay')) return { ...common, closeConnections };
  const relay = new RedisRelay({
    model: data.model.name,
    attention: data.id,
    shape,
    hosts,
    sender: connections.shared(),
    receiver: connections.open(),
    overdueAfterMs,
  });
  const policy =
    mode === 'relay'
      ? { choose: () => 'relay' as const, record: () => {}, records: [] }
      : new RegimeChooser({ direct: serving.length, relay: 1 });
  return { ...common, relay: { relay, policy }, closeConnections };
}

/** Connections to Redis of one exchange: one for all that never block, one for each that does. */
class Connections {
  readonly #url: string;
  readonly #open: Redis[] = [];
  #shared: Redis | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  shared(): Redis {
    this.#shared ??= this.open();
    return this.#shared;
  }

  open(): Redis {
    const connection = new Redis(this.#url, { maxRetriesPerRequest: null });
    // It reconnects by itself, and the links tell when that takes too long.
    connection.on('error', () => {});
    this.#open.push(connection);
    return connection;
  }

  close(): void {
    for (const connection of this.#open) connection.disconnect();
  }
}

/** Opens links to expert hosts: over a socket where the host has one and the mode allows it, else over Redis lists. */
class LinkFactory {
  readonly #data: AttentionWorkerData;
  readonly #pool: RemotePool;
  readonly #shape: LayerStepShape;
  readonly #connections: Connections;
  #answers: RedisAnswers | undefined;

  constructor(data: AttentionWorkerData, pool: RemotePool, shape: LayerStepShape, connections: Connections) {
    this.#data = data;
    this.#pool = pool;
    this.#shape = shape;
    this.#connections = connections;
  }

  /** @param only instance whose share alone is asked for */
  open(host: string, only?: number): ExpertLink {
    const { mode, addresses } = this.#pool;
    const usesSocket = mode !== 'redis' && (addresses[host] ?? null) !== null;
    return usesSocket ? this.#openSocket(host, only) : this.#openRedis(host, only);
  }

  #openSocket(host: string, only: number | undefined): ExpertLink {
    const { addresses, node, placement, overdueAfterMs } = this.#pool;
    const { path, ...listens } = addresses[host]!;
    const address =
      listens.node === node && path !== null ? { path } : { host: listens.host, port: listens.port };
    const { model, id: attention } = this.#data;
    const hello = { model: model.name, layers: placement.layers.length, attention };
    const silenceLimitMs = isReplaceable(placement, host) ? SILENCE_LIMIT_MS : null;
    const options = { host, address, shape: this.#shape, hello, overdueAfterMs, silenceLimitMs };
    return new SocketLink({ ...options, ...(only !== undefined && { only }) });
  }

  #openRedis(host: string, only: number | undefined): ExpertLink {
    const { model, id: attention } = this.#data;
    const shape = this.#shape;
    this.#answers ??= new RedisAnswers(this.#connections.open(), model.name, attention, shape);
    return new RedisLink({
      host,
      model: model.name,
      attention,
      shape,
      sender: this.#connections.shared(),
      answers: this.#answers,
      overdueAfterMs: this.#pool.overdueAfterMs,
      ...(only !== undefined && { only }),
    });
  }

  async close(): Promise<void> {
    await this.#answers?.close();
  }
}
