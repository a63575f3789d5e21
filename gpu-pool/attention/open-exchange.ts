import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { MonolithExchange } from '../exchange/monolith.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import { GateModel } from '../runtime/gate-model.ts';
import { KernelExperts } from '../runtime/kernel/kernel-experts.ts';
import type { OpenModel } from '../runtime/open-model.ts';
import { openLocalPool, openRemotePool } from './open-pool.ts';
import type { AttentionWorkerData, ExpertSource } from './worker-protocol.ts';

/** Opens an attention instance's ways to its experts: the first, and others under other placements. */
export function exchangeOpener(
  data: AttentionWorkerData,
  model: OpenModel,
): (experts: ExpertSource) => Exchange {
  const { config, weights, formats } = model;
  const shape: LayerStepShape = {
    maxRows: data.limits.tokenBudget,
    hiddenSize: config.hiddenSize,
    expertsPerToken: config.expertsPerToken,
  };
  const isLocal = data.experts.kind === 'local';
  // Experts of the same host are gated on this thread, which is the sender's side of that host.
  const gate = isLocal && data.gate === 'experts' ? new GateModel(config, weights) : undefined;
  const assistant = isLocal && data.kernels && new KernelExperts(config, formats, data.kernels.source);
  return (experts) => {
    if (experts.kind === 'monolith') return openMonolith(data, model, shape);
    if (experts.kind === 'remote') return openRemotePool(data, experts, shape);
    return openLocalPool(data, experts, shape, gate, assistant || undefined);
  };
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
