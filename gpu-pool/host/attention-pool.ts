import type { Redis } from 'ioredis';
import type { GatePlacement } from '../../shared/model/config.ts';
import type { TraceShape } from '../../shared/placement/trace.ts';
import type { AttentionInstanceRecord, ExchangeRecord, TrafficRecord } from '../../shared/protocol/member.ts';
import type { Tracer } from '../../shared/tracing/tracer.ts';
import { AttentionInstance, type Interrupted } from '../attention/attention-instance.ts';
import { SequenceTraces } from '../attention/sequence-traces.ts';
import { allocateTraceMemory, DEFAULT_TRACE_SAMPLING } from '../attention/trace-sampler.ts';
import type { AttentionLimits, ExpertSource, PlacedExperts } from '../attention/worker-protocol.ts';
import type { ExchangeStatistics } from '../exchange/exchange.ts';
import { sumRegimes } from '../exchange/switchable-exchange.ts';
import type { ModelSource } from '../runtime/model-source.ts';
import type { KernelPlan } from './kernel-plan.ts';
import { RequestConsumer } from './request-consumer.ts';
import { TokenStreamWriter } from './token-stream-writer.ts';
import { startTraceStoring } from './trace-store.ts';

export interface AttentionPoolOptions {
  readonly host: string;
  readonly model: ModelSource;
  readonly limits: AttentionLimits;
  readonly redis: Redis;
  readonly redisUrl: string;
  readonly instances: number;
  readonly gate: GatePlacement;
  readonly traceShape: TraceShape;
  /** Way to the experts of the attention instance at `index`. */
  readonly experts: (index: number) => ExpertSource;
  /** Null where ONNX Runtime computes everything. */
  readonly kernels: KernelPlan | null;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  readonly onLost: (instance: string, index: number, reason: string) => void;
  readonly onInterrupted?: (interrupted: Interrupted) => void;
}

/** Time that a draining pool lets its sequences finish. */
const DRAIN_LIMIT_MS = 30_000;

const US_PER_MS = 1_000;

/** The attention instances of one host, and the consumer that feeds them from the model's queue. */
export class AttentionPool {
  readonly instances: readonly AttentionInstance[];
  readonly #options: AttentionPoolOptions;
  #consumer: RequestConsumer | undefined;
  #stopTraces: (() => Promise<void>) | undefined;

  private constructor(options: AttentionPoolOptions, instances: readonly AttentionInstance[]) {
    this.#options = options;
    this.instances = instances;
  }

  /**
   * Starts the instances and, when all are loaded, takes jobs.
   *
   * @throws JanusError when an instance cannot load its model; then none is left running
   */
  static async start(options: AttentionPoolOptions): Promise<AttentionPool> {
    const { host, model, limits, redis, tracer } = options;
    const writer = new TokenStreamWriter(redis);
    const instances = Array.from({ length: options.instances }, (_, index) => {
      const experts = options.experts(index);
      const trace = allocateTraceMemory(options.traceShape, DEFAULT_TRACE_SAMPLING.windowRows);
      const common = { id: `${host}-${index}`, model, limits, experts, gate: options.gate, trace };
      const kernels = options.kernels?.attention(index);
      const data = { ...common, ...(kernels && { kernels }) };
      return new AttentionInstance(
        data,
        (events) => writer.write(events),
        (id, reason) => options.onLost(id, index, reason),
        tracer && new SequenceTraces(tracer, data.id),
        options.onInterrupted,
      );
    });
    const pool = new AttentionPool(options, instances);
    const loaded = await Promise.allSettled(instances.map((instance) => instance.ready));
    const failed = loaded.find((result) => result.status === 'rejected');
    if (failed) {
      await pool.stop();
      throw failed.reason;
    }
    await pool.#consume(writer);
    return pool;
  }

  async #consume(writer: TokenStreamWriter): Promise<void> {
    const { model, redis, redisUrl } = this.#options;
    this.#consumer = await RequestConsumer.start({
      model: model.name,
      redisUrl,
      redis,
      subscriber: redis.duplicate(),
      instances: this.instances,
      writer,
    });
    this.#stopTraces = startTraceStoring({
      redis,
      model: model.name,
      windows: () => this.instances.map((instance) => [instance.id, instance.trace] as const),
    });
  }

  /** Lets the instances go on under another placement, each after the step it is at. */
  place(experts: (index: number) => PlacedExperts): void {
    for (const [index, instance] of this.instances.entries()) instance.place(experts(index));
  }

  /** The oldest placement version under which an instance that lives sends its steps; null where none does. */
  get placementVersion(): number | null {
    const living = this.instances.filter(({ state }) => state !== 'gone');
    return living.length === 0 ? null : Math.min(...living.map((instance) => instance.placementVersion));
  }

  records(): AttentionInstanceRecord[] {
    return this.instances.map((instance) => instance.record());
  }

  /** What went over each way to experts, all instances together. */
  traffic(): TrafficRecord[] {
    const links = this.instances.flatMap((instance) => instance.statistics.links);
    const ways = Map.groupBy(links, ({ host, kind }) => `${kind} ${host}`);
    return [...ways.values()].map((way) => {
      const sum = (count: (link: ExchangeStatistics) => number) =>
        way.reduce((all, link) => all + count(link), 0);
      const layerSteps = sum((link) => link.layerSteps);
      const messagesSent = sum((link) => link.messagesSent);
      return {
        host: way[0]!.host,
        kind: way[0]!.kind,
        layerSteps,
        messagesSent,
        messagesReceived: sum((link) => link.messages) - messagesSent,
        bytes: sum((link) => link.bytes),
        meanRoundTripUs: layerSteps === 0 ? 0 : sum((link) => link.totalRoundTripUs) / layerSteps,
        maxRoundTripUs: Math.max(...way.map((link) => link.maxRoundTripUs)),
        combineMs: sum((link) => link.totalCombineUs) / US_PER_MS,
        scheduleMs: sum((link) => link.totalScheduleUs) / US_PER_MS,
        assistMs: sum((link) => link.totalAssistUs) / US_PER_MS,
        assistedGroups: sum((link) => link.assistedGroups),
      };
    });
  }

  /** The layer steps of all instances together. */
  exchange(): ExchangeRecord {
    const counters = this.instances.map((instance) => instance.statistics.exchange);
    const layerSteps = counters.reduce((sum, each) => sum + each.layerSteps, 0);
    const totalAMax = counters.reduce((sum, each) => sum + each.totalAMax, 0);
    return {
      layerSteps,
      meanAMax: layerSteps === 0 ? 0 : totalAMax / layerSteps,
      regimes: sumRegimes(counters.flatMap(({ regimes }) => regimes)),
    };
  }

  /** Takes no more jobs and lets those under way finish, within a bound. */
  async drain(): Promise<void> {
    await this.#consumer?.drain(DRAIN_LIMIT_MS);
  }

  /** Ends at once; sequences that still run fail as unavailable. */
  async stop(): Promise<void> {
    await this.#stopTraces?.();
    await Promise.all(this.instances.map((instance) => instance.stop()));
    await this.#consumer?.close();
  }
}
