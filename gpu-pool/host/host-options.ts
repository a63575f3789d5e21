import { JanusError } from '../../shared/errors/janus-error.ts';
import type { GatePlacement, ModelConfig } from '../../shared/model/config.ts';
import type { HostRole } from '../../shared/protocol/member.ts';
import type { SpareSlots } from '../../shared/scheduler/layout.ts';
import type { SchedulerName } from '../../shared/scheduler/scheduling.ts';
import type { InstanceCount } from '../../shared/sizing/choose-instances.ts';
import { DEFAULT_PREFIX_CACHE_BYTES } from '../attention/prefix-cache.ts';
import type { AttentionLimits } from '../attention/worker-protocol.ts';
import type { ExchangeOptions } from '../exchange/exchange-options.ts';
import { ROUND_INSTANCE_LIMIT } from '../exchange/host-round.ts';
import type { ModelSource } from '../runtime/model-source.ts';

/** Who computes what is kept in blocks; `auto`: the kernels where they can. */
export const KERNEL_CHOICES = ['auto', 'wasm', 'onnx'] as const;
export type KernelChoice = (typeof KERNEL_CHOICES)[number];

/** How one host process is to be started. */
export interface HostOptions {
  readonly role: HostRole;
  readonly model: ModelSource;
  readonly redisUrl: string;
  /** Attention instances of this host (roles `attention` and `both`); only `both` chooses them for its cores. */
  readonly attentionInstances: InstanceCount;
  /** Expert instances of this host (roles `experts` and `both`); only `both` chooses them for its cores. */
  readonly expertInstances: InstanceCount;
  /** Role `attention`: expert instances in all of the pool's hosts that must be there before the placement is made. */
  readonly poolExpertInstances: number;
  /** C, replica slots per expert instance and layer; null: as few as hold every expert. */
  readonly capacity: number | null;
  /** Attention and experts in one thread, without an exchange (role `both`, one attention instance). */
  readonly monolith: boolean;
  /** Which side gates; the same on all hosts of a model. */
  readonly gate: GatePlacement;
  /** How layer steps are scheduled under the placements that this host makes. */
  readonly scheduler: SchedulerName;
  /** What replica slots beyond one per expert are for in the placements that this host makes. Default: `load`. */
  readonly spareSlots?: SpareSlots;
  readonly limits: AttentionLimits;
  readonly exchange: ExchangeOptions;
  readonly kernels: KernelChoice;
}

/** The options of a host whose instances have been counted. */
export interface SizedHostOptions extends HostOptions {
  readonly attentionInstances: number;
  readonly expertInstances: number;
}

/** Rows per step: with so many, an expert of 64 gets enough for products of whole matrices. */
const DEFAULT_TOKEN_BUDGET = 512;
/** Prefill of this many tokens keeps steps short for the sequences that decode beside it. */
const DEFAULT_PREFILL_BUDGET = 128;
const DEFAULT_SLOTS = 32;
/** Sequences that one instance lets wait for a slot: none beyond what the queue hands out for its slots. */
const DEFAULT_WAITING = 64;

export const DEFAULT_LIMITS: AttentionLimits = {
  tokenBudget: DEFAULT_TOKEN_BUDGET,
  prefillBudget: DEFAULT_PREFILL_BUDGET,
  slots: DEFAULT_SLOTS,
  waiting: DEFAULT_WAITING,
  prefixCacheBytes: DEFAULT_PREFIX_CACHE_BYTES,
};

/** Rows that an expert host takes at once: the payload of all attention instances of one host together. */
export const EXCHANGE_ROW_LIMIT = 512;

/** Rows per step where nothing else is asked for: those of all attention instances that step together go to expert hosts. */
export const defaultTokenBudget = (role: HostRole, attentionInstances: number): number =>
  role === 'attention'
    ? Math.max(1, Math.min(DEFAULT_TOKEN_BUDGET, Math.floor(EXCHANGE_ROW_LIMIT / attentionInstances)))
    : DEFAULT_TOKEN_BUDGET;

/** Bound on the wait for the answer to one layer step. */
export const OVERDUE_AFTER_MS = 10_000;
/** The same inside an expert host, which is to report before the attention host gives it up. */
export const INSTANCE_OVERDUE_AFTER_MS = 8_000;

/** Replica slots per instance and layer: those asked for, or as few as hold every expert. */
export function capacityOf(
  options: Pick<HostOptions, 'capacity'>,
  config: ModelConfig,
  instances: number,
): number {
  return options.capacity ?? Math.ceil(config.experts / instances);
}

/** @throws JanusError naming the option that is wrong */
export function checkHostOptions(options: HostOptions): void {
  const positive: [keyof HostOptions & string, string][] = [];
  if (options.role !== 'experts') positive.push(['attentionInstances', '--attention']);
  if (options.role !== 'attention' && !options.monolith) positive.push(['expertInstances', '--experts']);
  if (options.role === 'attention') positive.push(['poolExpertInstances', '--expert-instances']);
  if (options.capacity !== null) positive.push(['capacity', '--slots']);
  for (const [field, flag] of positive) {
    const value = options[field];
    if (value === 'auto' && options.role === 'both') continue;
    if (!Number.isInteger(value) || (value as number) < 1) {
      throw new JanusError(`${flag} is ${value}; give a whole number of at least 1.`);
    }
  }
  const { attentionInstances } = options;
  if (options.role === 'attention' && attentionInstances !== 'auto') {
    checkRound(attentionInstances, options.limits.tokenBudget);
  }
  const one = attentionInstances === 1 || attentionInstances === 'auto';
  if (options.monolith && (options.role !== 'both' || !one)) {
    throw new JanusError(
      '--monolith runs attention and experts in one thread: it goes with role both and --attention 1.',
    );
  }
}

/** The attention instances of a host whose experts are elsewhere step together, and send their rows as one payload. */
function checkRound(attentionInstances: number, tokenBudget: number): void {
  const rows = attentionInstances * tokenBudget;
  if (rows > EXCHANGE_ROW_LIMIT) {
    throw new JanusError(
      `--attention ${attentionInstances} × --token-budget ${tokenBudget} is ${rows} rows per step; ` +
        `expert hosts take ${EXCHANGE_ROW_LIMIT}. Lower one of the two.`,
    );
  }
  if (attentionInstances > ROUND_INSTANCE_LIMIT) {
    throw new JanusError(
      `--attention is ${attentionInstances}: at most ${ROUND_INSTANCE_LIMIT} instances of one host step together. ` +
        'Start another host.',
    );
  }
}
