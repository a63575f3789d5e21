import type { ModelConfig } from '../../shared/model/config.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { MonolithExchange } from '../exchange/monolith.ts';
import { checkpointWeights } from '../runtime/checkpoint-weights.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import { GateModel } from '../runtime/gate-model.ts';
import { openLocalPool, openRemotePool } from './open-pool.ts';
import type { AttentionWorkerData } from './worker-protocol.ts';

/** Opens an attention instance's way to its experts. */
export function openExchange(
  data: AttentionWorkerData,
  config: ModelConfig,
  checkpoint: Checkpoint,
): Exchange {
  const shape: LayerStepShape = {
    maxRows: data.limits.tokenBudget,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  if (data.experts.kind === 'monolith') return openMonolith(data, config, checkpoint, shape);
  // Experts of the same host are gated on this thread, which is the sender's side of that host.
  const gate =
    data.gate === 'experts' && data.experts.kind === 'local'
      ? new GateModel(config, checkpointWeights(checkpoint))
      : undefined;
  return data.experts.kind === 'local'
    ? openLocalPool(data, data.experts, shape, gate)
    : openRemotePool(data, data.experts, shape);
}

function openMonolith(
  data: AttentionWorkerData,
  config: ModelConfig,
  checkpoint: Checkpoint,
  shape: LayerStepShape,
): Exchange {
  const experts = new ExpertModel(config, checkpointWeights(checkpoint), {
    weightForm: data.model.weightForm,
  });
  for (let layer = 0; layer < config.layers; layer++) {
    for (let expert = 0; expert < config.experts; expert++) experts.load(layer, expert);
  }
  return new MonolithExchange(shape, config.experts, (layer, expert, input, rows, output) =>
    experts.run(layer, expert, input, rows, output),
  );
}
