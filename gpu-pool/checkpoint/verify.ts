import type { ModelConfig } from '../../shared/model/config.ts';
import { roleTensors } from '../../shared/model/tensors.ts';
import type { HostRole } from '../../shared/protocol/member.ts';

/** A checkpoint, or a packed model. */
export interface Verifiable {
  verify(name: string, shape: readonly number[]): void;
}

/**
 * Checks that a role can load all its tensors, before anything starts. No weights are read.
 *
 * @throws JanusError that names file and tensor if one is missing, has another shape than the config gives it or a
 * number format that cannot be loaded
 */
export function verifyCheckpoint(checkpoint: Verifiable, config: ModelConfig, role: HostRole): void {
  for (const { name, shape } of roleTensors(config, role)) checkpoint.verify(name, shape);
}
