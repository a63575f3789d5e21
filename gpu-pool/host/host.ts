import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Redis } from 'ioredis';
import type { ModelConfig } from '../../shared/model/config.ts';
import type {
  ExchangeAddress,
  HostPlacementRecord,
  HostRecord,
  ModelCard,
} from '../../shared/protocol/member.ts';
import type { InstanceChoice } from '../../shared/sizing/choose-instances.ts';
import type { Tracer } from '../../shared/tracing/tracer.ts';
import { verifyModel } from '../runtime/verify-model.ts';
import type { WeightFormats } from '../runtime/weights.ts';
import type { AttentionPool } from './attention-pool.ts';
import type { ExpertPool } from './expert-pool.ts';
import { checkHostOptions, type HostOptions, type SizedHostOptions } from './host-options.ts';
import { announceModel, Membership } from './membership.ts';
import { type HostSize, sizeHost } from './size-host.ts';

const US_PER_MS = 1_000;

/** Of all threads of this process, since it started. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / US_PER_MS;
}

/** What a host shows of itself. */
export interface HostEvents {
  /** One line for whoever watches: state changes and losses. */
  readonly log: (message: string) => void;
  /** Told of sequences that are traced. Default: nothing is. */
  readonly tracer?: Tracer | null;
}

/**
 * One host process: its instances are worker threads; its own thread only talks to Redis. The pools are started by
 * the function of the host's role (`startBoth`, `startExperts`, `startAttention`), which hangs them in here.
 */
export class Host {
  readonly id: string;
  readonly options: SizedHostOptions;
  readonly config: ModelConfig;
  /** In which form its weights are computed with. */
  readonly formats: WeightFormats;
  readonly redis: Redis;
  readonly log: (message: string) => void;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  attention: AttentionPool | undefined;
  experts: ExpertPool | undefined;
  /** Where it takes layer steps, while it does. */
  address: ExchangeAddress | null = null;
  /** Where it stands between placements, once it serves under one. */
  placement: (() => HostPlacementRecord) | undefined;
  /** Why it has as many instances as it has; null where its role leaves nothing to choose. */
  readonly #sizing: InstanceChoice | null;
  readonly #startedAtMs = Date.now();
  readonly #closers: (() => Promise<void>)[] = [];
  readonly #givenUp = Promise.withResolvers<string>();
  #membership: Membership | undefined;

  private constructor(size: HostSize, config: ModelConfig, formats: WeightFormats, events: HostEvents) {
    this.id = randomBytes(4).toString('hex');
    this.options = size.options;
    this.#sizing = size.sizing;
    this.config = config;
    this.formats = formats;
    this.log = events.log;
    this.tracer = events.tracer ?? null;
    this.redis = new Redis(size.options.redisUrl, { maxRetriesPerRequest: null });
    // ioredis reconnects by itself; without a listener a broken connection would end the process.
    this.redis.on('error', (error) => this.log(`Redis: ${error.message}`));
  }

  /**
   * Checks options and checkpoint, counts the instances, and registers the host as starting. Nothing is loaded yet.
   *
   * @throws JanusError naming the option, file, field or tensor that is wrong
   */
  static async open(options: HostOptions, events: HostEvents): Promise<Host> {
    checkHostOptions(options);
    const { config, formats } = verifyModel(options.model, options.role);
    const size = sizeHost(options, config, formats, availableParallelism());
    const host = new Host(size, config, formats, events);
    if (size.sizing !== null) host.log(size.sizing.reason);
    const { name } = options.model;
    const card = options.role === 'experts' ? null : host.#card();
    host.#membership = await Membership.join(host.redis, name, host.id, () => host.record(), card);
    // Known from now on, a model that still loads is answered with 503, not with 404.
    if (card !== null) await announceModel(host.redis, card);
    return host;
  }

  /** Resolves with the reason when an instance cannot be kept running: whoever started the host is to close it, and to say why. */
  get givenUp(): Promise<string> {
    return this.#givenUp.promise;
  }

  /** Says that an instance cannot be kept running. */
  giveUp(reason: string): void {
    this.log(`${reason}; this host is to leave`);
    this.#givenUp.resolve(reason);
  }

  /** Runs `close` when the host closes; the last one added runs first. */
  onClose(close: () => Promise<void>): void {
    this.#closers.unshift(close);
  }

  #card(): ModelCard {
    const { contextLength, vocabularySize } = this.config;
    const created = Math.floor(this.#startedAtMs / 1_000);
    return { id: this.options.model.name, created, contextLength, vocabularySize };
  }

  /** Makes the present state of the host visible without waiting for the next heartbeat. */
  async announce(): Promise<void> {
    await this.#membership?.renew();
  }

  record(): HostRecord {
    const { role, model } = this.options;
    return {
      host: this.id,
      role,
      model: model.name,
      weightForm: model.weightForm,
      process: process.pid,
      startedAtMs: this.#startedAtMs,
      heartbeatAtMs: Date.now(),
      processorMs: processorMs(),
      attention: this.attention?.records() ?? [],
      experts: this.#expertRecords(),
      traffic: this.attention?.traffic() ?? [],
      exchange: this.attention?.exchange() ?? null,
      address: this.address,
      ...(this.placement && { placement: this.placement() }),
      sizing: this.#sizing,
    };
  }

  /** Until its instances have numbers in a placement, an expert host offers them as starting. */
  #expertRecords(): HostRecord['experts'] {
    const { role, monolith, expertInstances, capacity } = this.options;
    if (this.experts) {
      const records = this.experts.records();
      // A host of this role can be reached when it listens, and not before.
      if (role !== 'experts' || this.address !== null) return records;
      return records.map((record) => (record.state === 'ready' ? { ...record, state: 'loading' } : record));
    }
    if (role === 'attention') return [];
    const counters = { layerSteps: 0, meanActivated: 0, maxActivated: 0, groups: 0, groupsMs: 0 };
    if (monolith) {
      const state = this.attention?.instances[0]?.state ?? 'starting';
      return [{ id: 0, state, slots: this.config.experts, ...counters }];
    }
    const slots = capacity ?? 0;
    return Array.from({ length: expertInstances }, (_, id) => ({
      id,
      state: 'starting',
      slots,
      ...counters,
    }));
  }

  /** Lets running sequences finish, within a bound; takes nothing new. */
  async drain(): Promise<void> {
    await this.attention?.drain();
  }

  async close(): Promise<void> {
    await this.attention?.stop();
    for (const close of this.#closers) await close();
    await this.experts?.stop();
    await this.#membership?.leave();
    this.redis.disconnect();
  }
}
