import { type Command, Option } from 'commander';
import { DEFAULT_EXCHANGE } from '../../../gpu-pool/exchange/exchange-options.ts';
import {
  DEFAULT_LIMITS,
  defaultTokenBudget,
  type HostOptions,
  KERNEL_CHOICES,
  type KernelChoice,
} from '../../../gpu-pool/host/host-options.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { GatePlacement, WeightForm } from '../../../shared/model/config.ts';
import type { HostRole } from '../../../shared/protocol/member.ts';
import { SPARE_SLOTS, type SpareSlots } from '../../../shared/scheduler/layout.ts';
import { SCHEDULER_NAMES, type SchedulerName } from '../../../shared/scheduler/scheduling.ts';
import type { InstanceCount } from '../../../shared/sizing/choose-instances.ts';
import { DEFAULT_MODEL, resolveModel } from './model-option.ts';
import { autoOrWholeNumber, notEmpty, oneOf, wholeNumber } from './values.ts';
import { chooseWeightForm, DEFAULT_WEIGHT_FORM, WEIGHT_FORMS } from './weight-form.ts';

/** Instances are threads: more of them than this in one process is a mistake. */
export const MOST_INSTANCES = 256;
/** Instances of a host with one role, whose machine may hold others. */
const ATTENTION_INSTANCES_ALONE = 1;
const EXPERT_INSTANCES_ALONE = 2;
const MOST_SLOTS = 4_096;
const MOST_KV_SLOTS = 4_096;
const MOST_TOKENS_PER_STEP = 65_536;
const MOST_PREFIX_CACHE_MIB = 1_048_576;
const BYTES_PER_MIB = 2 ** 20;
const GATES: readonly GatePlacement[] = ['attention', 'experts'];

/** What one host's flags say, as commander gives them. */
export interface PoolFlags {
  readonly model: string;
  readonly name?: string;
  readonly attention: InstanceCount;
  readonly experts: InstanceCount;
  readonly slots?: number;
  readonly dtype?: WeightForm;
  readonly kvSlots: number;
  readonly tokenBudget?: number;
  readonly prefixCacheMib: number;
  readonly kernels: KernelChoice;
  readonly scheduler: SchedulerName;
  readonly spareSlots: SpareSlots;
  readonly gate: GatePlacement;
  /** Only `up` offers it. */
  readonly monolith?: true;
}

/** Settings of a host that do not depend on where it runs. */
export type PoolSettings = Omit<HostOptions, 'role' | 'redisUrl' | 'poolExpertInstances'>;

/** Adds the flags of {@link PoolFlags}, but for `--monolith`. */
export function addPoolOptions(command: Command): Command {
  return command
    .option(
      '--model <folder or name>',
      'Hugging Face checkpoint folder, or a model in gpu-pool/models',
      notEmpty('--model', DEFAULT_MODEL),
      DEFAULT_MODEL,
    )
    .option('--name <name>', "name under which the model is served (default: the folder's base name)")
    .option(
      '--attention <n>',
      `attention instances; auto: as many as suit the cores, ${ATTENTION_INSTANCES_ALONE} in role attention`,
      autoOrWholeNumber('--attention', 1, MOST_INSTANCES),
      'auto',
    )
    .option(
      '--experts <n>',
      `expert instances; auto: as many as suit the cores, ${EXPERT_INSTANCES_ALONE} in role experts`,
      autoOrWholeNumber('--experts', 1, MOST_INSTANCES),
      'auto',
    )
    .option(
      '--slots <c>',
      'replica slots per expert instance and layer (default: as few as hold every expert)',
      wholeNumber('--slots', 1, MOST_SLOTS),
    )
    .addOption(
      new Option(
        '--dtype <form>',
        `weights in memory: ${WEIGHT_FORMS.join(', ')} (default: ${DEFAULT_WEIGHT_FORM}; a packed model has its own)`,
      ).argParser(oneOf('--dtype', WEIGHT_FORMS)),
    )
    .addOption(
      new Option(
        '--gate <side>',
        `side that picks the experts of a row, on all hosts the same: ${GATES.join(', ')}`,
      )
        .argParser(oneOf('--gate', GATES))
        .default('attention'),
    )
    .addOption(
      new Option('--scheduler <name>', `scheduler of layer steps: ${SCHEDULER_NAMES.join(', ')}`)
        .argParser(oneOf('--scheduler', SCHEDULER_NAMES))
        .default('aebs'),
    )
    .addOption(
      new Option(
        '--spare-slots <use>',
        `what replica slots beyond one per expert are for: ${SPARE_SLOTS.join(', ')} (a second host for as many experts as can be)`,
      )
        .argParser(oneOf('--spare-slots', SPARE_SLOTS))
        .default('load'),
    )
    .option(
      '--kv-slots <n>',
      'sequences that one attention instance runs at once',
      wholeNumber('--kv-slots', 1, MOST_KV_SLOTS),
      DEFAULT_LIMITS.slots,
    )
    .option(
      '--token-budget <n>',
      'tokens per step of one attention instance, fewer of prompts where sequences decode ' +
        `(default: ${DEFAULT_LIMITS.tokenBudget}, and so many for all instances of a host whose experts are elsewhere)`,
      wholeNumber('--token-budget', 1, MOST_TOKENS_PER_STEP),
    )
    .option(
      '--prefix-cache-mib <n>',
      "memory of each attention instance for keys and values of prompts' beginnings; 0 keeps none",
      wholeNumber('--prefix-cache-mib', 0, MOST_PREFIX_CACHE_MIB),
      DEFAULT_LIMITS.prefixCacheBytes / BYTES_PER_MIB,
    )
    .addOption(
      new Option(
        '--kernels <provider>',
        `what computes quantised weights: ${KERNEL_CHOICES.join(', ')} (auto: WebAssembly where it can)`,
      )
        .argParser(oneOf('--kernels', KERNEL_CHOICES))
        .default('auto'),
    );
}

/**
 * @throws JanusError when the model cannot be served, `--dtype` contradicts it, or all of its experts have to fit into this
 *   host and do not
 */
export function toPoolSettings(flags: PoolFlags, role: HostRole): PoolSettings {
  const { kvSlots, slots, monolith = false } = flags;
  const { attention, experts } = role === 'both' ? flags : countedAlone(flags);
  const tokenBudget = flags.tokenBudget ?? defaultTokenBudget(role, attention === 'auto' ? 1 : attention);
  const model = resolveModel(flags.model, flags.name);
  const { config, folder, name } = model;
  const short = slots !== undefined && experts !== 'auto' && experts * slots < config.experts;
  if (role === 'both' && short) {
    throw new JanusError(
      `--slots is ${slots}: ${experts} expert instances need at least ${Math.ceil(config.experts / experts)} slots each ` +
        `for the ${config.experts} experts of ${name}. Raise --slots or --experts.`,
    );
  }
  return {
    model: { name, folder, weightForm: chooseWeightForm(model, flags.dtype) },
    attentionInstances: attention,
    expertInstances: experts,
    capacity: slots ?? null,
    monolith,
    scheduler: flags.scheduler,
    spareSlots: flags.spareSlots,
    gate: flags.gate,
    exchange: DEFAULT_EXCHANGE,
    kernels: flags.kernels,
    limits: {
      ...DEFAULT_LIMITS,
      slots: kvSlots,
      tokenBudget,
      prefillBudget: Math.min(tokenBudget, DEFAULT_LIMITS.prefillBudget),
      prefixCacheBytes: flags.prefixCacheMib * BYTES_PER_MIB,
    },
  };
}

/** What `auto` means on a host with one role, which does not know who else has the cores. */
function countedAlone({ attention, experts }: PoolFlags): { attention: number; experts: number } {
  return {
    attention: attention === 'auto' ? ATTENTION_INSTANCES_ALONE : attention,
    experts: experts === 'auto' ? EXPERT_INSTANCES_ALONE : experts,
  };
}
