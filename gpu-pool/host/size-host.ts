import type { ModelConfig } from '../../shared/model/config.ts';
import { chooseInstances, type InstanceChoice } from '../../shared/sizing/choose-instances.ts';
import type { WeightFormats } from '../runtime/weights.ts';
import type { HostOptions, SizedHostOptions } from './host-options.ts';
import { coverKernels } from './kernel-coverage.ts';

export interface HostSize {
  readonly options: SizedHostOptions;
  /** Null where the role leaves nothing to choose. */
  readonly sizing: InstanceChoice | null;
}

/**
 * Counts the instances of a host with both pools: what its options leave to `auto` is chosen for the cores and for what
 * computes the model on them. Other hosts have what their options say, and none of what their role does not hold.
 *
 * @param cores that this process may use
 * @throws JanusError if kernels are to compute and were not built
 */
export function sizeHost(
  options: HostOptions,
  config: ModelConfig,
  formats: WeightFormats,
  cores: number,
): HostSize {
  const { attentionInstances: attention, expertInstances: experts, limits } = options;
  if (options.role !== 'both' || options.monolith) {
    // The monolith is one attention instance that holds the experts, too.
    const attentionInstances = attention === 'auto' ? (options.monolith ? 1 : 0) : attention;
    const expertInstances = experts === 'auto' ? 0 : experts;
    return { options: { ...options, attentionInstances, expertInstances }, sizing: null };
  }
  const providers = coverKernels({
    config,
    formats,
    choice: options.kernels,
    attentionRows: limits.tokenBudget,
    slots: limits.slots,
  });
  const sizing = chooseInstances({
    cores,
    providers,
    experts: config.experts,
    capacity: options.capacity,
    attentionLimit: providers.attentionLimit,
    asked: { attention, experts },
  });
  const counts = { attentionInstances: sizing.attention, expertInstances: sizing.experts };
  return { options: { ...options, ...counts }, sizing };
}
