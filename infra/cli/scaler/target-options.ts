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
const MOST_TTFT_MS = 600_000;
const MOST_SEQUENCES = 4_096;
const MS_PER_S = 1_000;
const MOST_IDLE_S = 30 * 24 * 3_600;

export interface TargetFlags {
  readonly tpotMs: number;
  readonly ttftMs?: number;
  readonly minAttention: number;
  readonly maxAttention: number;
  readonly minExperts: number;
  readonly maxExperts: number;
  readonly floor: PoolSizes;
  readonly idleS: number;
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
      '--ttft-ms <ms>',
      'largest time to first token that is wanted, so that hardly any waits longer for a slot (default: none)',
      wholeNumber('--ttft-ms', 1, MOST_TTFT_MS),
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
        'what an idle model keeps; 0A1E keeps no attention instance and as many expert instances as hold the model, 0A0E nothing',
      )
        .argParser(poolSizes('--floor'))
        .default(SCALING_LIMITS.floor, sizesName(SCALING_LIMITS.floor)),
    )
    .option(
      '--idle-s <seconds>',
      'so long after the last token that it was asked for a model is idle',
      wholeNumber('--idle-s', 1, MOST_IDLE_S),
      SCALING_LIMITS.idleMs / MS_PER_S,
    )
    .option(
      '--kv-slots <n>',
      'sequences that one attention instance runs at once; those that serve tell it themselves',
      wholeNumber('--kv-slots', 1, MOST_SEQUENCES),
      DEFAULT_LIMITS.slots,
    );
}

/** @throws JanusError when a bound lies beyond another */
export function toTarget(flags: TargetFlags): ScalingTarget {
  const { tpotMs, ttftMs, minAttention, maxAttention, minExperts, maxExperts, floor, kvSlots, idleS } = flags;
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
    ...(ttftMs !== undefined && { ttftMs }),
    bounds: {
      leastAttention: minAttention,
      mostAttention: maxAttention,
      leastExperts: minExperts,
      mostExperts: maxExperts,
      sequencesPerAttention: kvSlots,
    },
    limits: { ...SCALING_LIMITS, floor, idleMs: idleS * MS_PER_S },
    window: DEMAND_WINDOW_LIMITS,
  };
}
