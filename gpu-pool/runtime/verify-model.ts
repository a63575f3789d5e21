import type { ModelConfig } from '../../shared/model/config.ts';
import type { HostRole } from '../../shared/protocol/member.ts';
import { verifyCheckpoint } from '../checkpoint/verify.ts';
import type { ModelSource } from './model-source.ts';
import { openModel } from './open-model.ts';
import type { WeightFormats } from './weights.ts';

/**
 * Checks that a role can load all its tensors, before anything starts. No weights are read.
 *
 * @throws JanusError that names file and tensor if something is missing or wrong
 */
export function verifyModel(
  source: ModelSource,
  role: HostRole,
): { config: ModelConfig; formats: WeightFormats } {
  const { config, formats, weights, close } = openModel(source);
  try {
    verifyCheckpoint(weights, config, role);
    return { config, formats };
  } finally {
    close();
  }
}
