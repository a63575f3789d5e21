import { type Command, Option } from 'commander';
import { DEFAULT_LIMITS } from '../../../gpu-pool/host/host-options.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { ScalingTarget } from '../../../shared/protocol/scaling.ts';
import { SCALING_LIMITS } from '../../../shared/scaling/decide.ts';
import { DEMAND_WINDOW_LIMITS } from '../../../shared/scaling/demand-window.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { MOST_INSTANCES } from '../options/pool-options.ts';
import { wholeNumber } from '../options/values.ts';
import { poolSizes, sizesName } from './pool-sizes.ts';

const MOST_TPOT_MS = 600_000;
const MOST_SEQUENCES = 4_096;

export interface TargetFlags {
  readonly tpotMs: number;
  readonly minAttention: number;
  readonly maxAttention: number;
  readonly minExperts: number;
  readonly maxExperts: number;
  readonly floor: PoolSizes;
  readonly kvSlots: number;
}

/** Adds what is wanted of a scaler. */
export function addTargetOptions(command: Command): Command {
  const instances = (flag: string) => wholeNumber(flag, 1, MOST_INSTANCES);
  return command
    .requiredOption(
      '--tpot-ms <ms>',
      'largest time per output token that is wanted',
      wholeNumber('--tpot-ms', 1, MOST_TPOT_MS),
    )
    .option(
      '--min-attention <n>',
      'attention instances while there is demand',
      instances('--min-attention'),
      1,
    )
    .requiredOption('--max-attention <n>', 'attention instances at most', instances('--max-attention'))
    .option('--min-experts <n>', 'expert instances while there is demand', instances('--min-experts'), 1)
    .requiredOption('--max-experts <n>', 'expert instances at most', instances('--max-experts'))
    .addOption(
      new Option(
        '--floor <sizes>',
        'what an idle model keeps; 0A1E keeps no attention instance, and never fewer experts stay than hold the model',
      )
        .argParser(poolSizes('--floor'))
        .default(SCALING_LIMITS.floor, sizesName(SCALING_LIMITS.floor)),
    )
    .option(
      '--kv-slots <n>',
      'sequences that one attention instance runs at once, as its host was told',
      wholeNumber('--kv-slots', 1, MOST_SEQUENCES),
      DEFAULT_LIMITS.slots,
    );
}

/** @throws JanusError when a bound lies beyond another */
export function toTarget(flags: TargetFlags): ScalingTarget {
  const { tpotMs, minAttention, maxAttention, minExperts, maxExperts, floor, kvSlots } = flags;
  if (minAttention > maxAttention || minExperts > maxExperts) {
    const pool = minAttention > maxAttention ? 'attention' : 'experts';
    throw new JanusError(`--min-${pool} is larger than --max-${pool}: lower the one or raise the other.`);
  }
  if (floor.attention > maxAttention || floor.experts > maxExperts) {
    const most = sizesName({ attention: maxAttention, experts: maxExperts });
    throw new JanusError(
      `--floor is ${sizesName(floor)}, more than ${most}, the most that is allowed: lower it.`,
    );
  }
  return {
    tpotMs,
    bounds: {
      leastAttention: minAttention,
      mostAttention: maxAttention,
      leastExperts: minExperts,
      mostExperts: maxExperts,
      sequencesPerAttention: kvSlots,
    },
    limits: { ...SCALING_LIMITS, floor },
    window: DEMAND_WINDOW_LIMITS,
  };
}
