import { Redis } from 'ioredis';
import type { ModelConfig } from '../../shared/model/config.ts';
import type { LayerStepShape } from '../../shared/protocol/layer-step.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { allocateStep, type Exchange, PooledExchange } from '../exchange/exchange.ts';
import { openHostMemory, openLane } from '../exchange/lane-memory.ts';
import type { ExpertLink } from '../exchange/link.ts';
import { MonolithExchange } from '../exchange/monolith.ts';
import { RedisAnswers, RedisLink } from '../exchange/redis-link.ts';
import { SharedMemoryLink } from '../exchange/shared-memory-link.ts';
import { checkpointWeights } from '../runtime/checkpoint-weights.ts';
import { ExpertModel } from '../runtime/expert-model.ts';
import type { AttentionWorkerData, ExpertSource } from './worker-protocol.ts';

type Pool = Extract<ExpertSource, { kind: 'pool' }>;

/** Opens an attention instance's way to its experts: one link per expert host of the placement, in host order. */
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
  return openPool(data, data.experts, shape);
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

function openPool(data: AttentionWorkerData, pool: Pool, shape: LayerStepShape): Exchange {
  const { placement, local, overdueAfterMs } = pool;
  const hosts = [...new Set(placement.instances.map((instance) => instance.host))];
  const connections: Redis[] = [];
  let answers: RedisAnswers | undefined;
  const openRemote = (host: string): ExpertLink => {
    if (answers === undefined) {
      connections.push(new Redis(pool.redisUrl, { maxRetriesPerRequest: null }));
      const blocking = new Redis(pool.redisUrl, { maxRetriesPerRequest: null });
      answers = new RedisAnswers(blocking, data.model.name, data.id, shape);
    }
    const sender = connections[0]!;
    const { name: model } = data.model;
    return new RedisLink({ host, model, attention: data.id, shape, sender, answers, overdueAfterMs });
  };
  const lane = local && openLane(local.shared, local.lane);
  const links = hosts.map((host) =>
    local && lane && host === local.shared.host
      ? new SharedMemoryLink({
          host,
          memory: openHostMemory(local.shared),
          lane,
          placement,
          wait: hosts.length === 1 ? 'block' : 'yield',
          overdueAfterMs,
        })
      : openRemote(host),
  );
  return new PooledExchange(lane ?? allocateStep(shape), shape, placement, links, async () => {
    await answers?.close();
    for (const connection of connections) connection.disconnect();
  });
}
