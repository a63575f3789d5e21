import type { ModelConfig } from '../../shared/model/config.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { MonolithExchange } from '../exchange/monolith.ts';
import { SwitchableExchange } from '../exchange/switchable-exchange.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import { GateModel } from '../runtime/gate-model.ts';
import { KernelExperts } from '../runtime/kernel/kernel-experts.ts';
import type { OpenModel } from '../runtime/open-model.ts';
import { openLocalPool, openRemotePool, type RemotePool } from './open-pool.ts';
import type { AttentionWorkerData } from './worker-protocol.ts';

/** Opens an attention instance's way to its experts. */
export function openExchange(data: AttentionWorkerData, model: OpenModel): SwitchableExchange {
  return new SwitchableExchange(openFirst(data, model));
}

/** Opens the way to experts on other hosts under another placement. */
export function openUnder(data: AttentionWorkerData, config: ModelConfig, pool: RemotePool): Exchange {
  return openRemotePool(data, pool, shapeOf(data, config));
}

const shapeOf = (data: AttentionWorkerData, config: ModelConfig): LayerStepShape => ({
  maxRows: data.limits.tokenBudget,
  hiddenSize: config.hiddenSize,
  expertsPerToken: config.expertsPerToken,
});

function openFirst(data: AttentionWorkerData, model: OpenModel): Exchange {
  const { config, weights, formats } = model;
  const shape = shapeOf(data, config);
  if (data.experts.kind === 'monolith') return openMonolith(data, model, shape);
  if (data.experts.kind === 'remote') return openRemotePool(data, data.experts, shape);
  // Experts of the same host are gated on this thread, which is the sender's side of that host.
  const gate = data.gate === 'experts' ? new GateModel(config, weights) : undefined;
  const assistant = data.kernels && new KernelExperts(config, formats, data.kernels.source);
  return openLocalPool(data, data.experts, shape, gate, assistant);
}

function openMonolith(
  data: AttentionWorkerData,
  { config, weights, formats }: OpenModel,
  shape: LayerStepShape,
): Exchange {
  const experts = new ExpertModel(config, weights, formats, data.kernels?.source);
  for (let layer = 0; layer < config.layers; layer++) {
    for (let expert = 0; expert < config.experts; expert++) experts.load(layer, expert);
  }
  return new MonolithExchange(shape, config.experts, (layer, expert, input, rows, output) =>
    experts.run(layer, expert, input, rows, output),
  );
}
