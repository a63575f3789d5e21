import type { Redis } from 'ioredis';
import { JanusError } from '../../shared/errors/janus-error.ts';
import type { GatePlacement } from '../../shared/model/config.ts';
import type { TraceShape } from '../../shared/placement/trace.ts';
import type { AttentionInstanceRecord, ExchangeRecord, TrafficRecord } from '../../shared/protocol/member.ts';
import { openSubscriber } from '../../shared/protocol/open-subscriber.ts';
import type { Tracer } from '../../shared/tracing/tracer.ts';
import { AttentionInstance, type Interrupted } from '../attention/attention-instance.ts';
import { SequenceTraces } from '../attention/sequence-traces.ts';
import { allocateTraceMemory, DEFAULT_TRACE_SAMPLING } from '../attention/trace-sampler.ts';
import type { AttentionLimits, ExpertSource, PlacedExperts } from '../attention/worker-protocol.ts';
import type { ExchangeStatistics } from '../exchange/exchange.ts';
import { sumRegimes } from '../exchange/switchable-exchange.ts';
import type { ModelSource } from '../runtime/model-source.ts';
import { HeldJobs } from './held-jobs.ts';
import type { KernelPlan } from './kernel-plan.ts';
import { RequestConsumer } from './request-consumer.ts';
import { Restarts } from './restarts.ts';
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
  readonly log: (message: string) => void;
  /** Called when the thread of the instance at `index` has ended by itself. */
  readonly onLost: (index: number) => void;
  /** Awaited before that instance is started again. @throws JanusError when it cannot be now */
  readonly onRestart: (index: number) => Promise<void>;
  /** Called when an instance serves again. */
  readonly onRestarted: () => void;
  /** Called when an instance has ended too often. */
  readonly givenUp: (reason: string) => void;
  readonly onInterrupted?: (interrupted: Interrupted) => void;
}

/** Time that a draining pool lets its sequences finish. */
const DRAIN_LIMIT_MS = 30_000;

const US_PER_MS = 1_000;

/** The attention instances of one host, and the consumer that feeds them from the model's queue. */
export class AttentionPool {
  readonly #options: AttentionPoolOptions;
  readonly #writer: TokenStreamWriter;
  readonly #jobs: HeldJobs;
  readonly #instances: AttentionInstance[];
  readonly #restarts: readonly Restarts[];
  /** Under the placement that instances were last told. */
  #experts: AttentionPoolOptions['experts'];
  #consumer: RequestConsumer | undefined;
  #stopTraces: (() => Promise<void>) | undefined;
  #isStopping = false;

  private constructor(options: AttentionPoolOptions) {
    const { redis, model, experts, log, givenUp } = options;
    this.#options = options;
    this.#experts = experts;
    this.#writer = new TokenStreamWriter(redis);
    this.#jobs = new HeldJobs(redis, model.name, this.#writer);
    this.#instances = Array.from({ length: options.instances }, (_, index) => this.#open(index));
    this.#restarts = this.#instances.map(({ id }, index) => {
      const start = () => this.#startAgain(index);
      return new Restarts({ name: `attention instance ${id}`, start, log, givenUp });
    });
  }

  get instances(): readonly AttentionInstance[] {
    return this.#instances;
  }

  /**
   * Starts the instances and, when all are loaded, takes jobs.
   *
   * @throws JanusError when an instance cannot load its model; then none is left running
   */
  static async start(options: AttentionPoolOptions): Promise<AttentionPool> {
    const pool = new AttentionPool(options);
    const loaded = await Promise.allSettled(pool.#instances.map((instance) => instance.ready));
    const failed = loaded.find((result) => result.status === 'rejected');
    if (failed) {
      await pool.stop();
      throw failed.reason;
    }
    await pool.#consume();
    return pool;
  }

  #open(index: number): AttentionInstance {
    const { host, model, limits, gate, tracer, traceShape, onInterrupted } = this.#options;
    const trace = allocateTraceMemory(traceShape, DEFAULT_TRACE_SAMPLING.windowRows);
    const common = { id: `${host}-${index}`, model, limits, experts: this.#experts(index), gate, trace };
    const kernels = this.#options.kernels?.attention(index);
    const data = { ...common, ...(kernels && { kernels }) };
    return new AttentionInstance(
      data,
      (events) => this.#jobs.write(events),
      (reason) => this.#lose(index, reason),
      tracer && new SequenceTraces(tracer, data.id),
      onInterrupted,
    );
  }

  #lose(index: number, reason: string): void {
    this.#options.onLost(index);
    this.#consumer?.adjust();
    this.#restarts[index]!.ended(reason);
  }

  async #startAgain(index: number): Promise<void> {
    await this.#options.onRestart(index);
    if (this.#isStopping) throw new JanusError('The host is stopping.');
    const instance = this.#open(index);
    this.#instances[index] = instance;
    await instance.ready;
    this.#consumer?.adjust();
    this.#options.onRestarted();
  }

  async #consume(): Promise<void> {
    const { model, redis, redisUrl } = this.#options;
    this.#consumer = await RequestConsumer.start({
      model: model.name,
      redisUrl,
      redis,
      subscriber: openSubscriber(redis),
      instances: this.instances,
      writer: this.#writer,
      jobs: this.#jobs,
    });
    this.#stopTraces = startTraceStoring({
      redis,
      model: model.name,
      windows: () => this.instances.map((instance) => [instance.id, instance.trace] as const),
    });
  }

  /** Lets the instances go on under another placement, each after the step it is at. */
  place(experts: (index: number) => PlacedExperts): void {
    this.#experts = experts;
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
    this.#isStopping = true;
    const closed = this.#restarts.map((restarts) => restarts.close());
    await this.#stopTraces?.();
    await Promise.all(this.instances.map((instance) => instance.stop()));
    await Promise.all(closed);
    await this.#consumer?.close();
  }
}
