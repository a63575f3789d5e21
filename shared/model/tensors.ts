import type { HostRole } from '../protocol/member.ts';
import { architectures } from './architectures/registry.ts';
import type { ModelConfig } from './config.ts';
import type { ExpertTensors, ModelTensors, TensorSpec } from './tensor-specs.ts';

/** The checkpoint's tensors under the names of their parts in the model. */
export const modelTensors = (config: ModelConfig): ModelTensors =>
  architectures[config.architecture].tensors(config);

/** All tensors that an attention instance needs, the routers among them; each is named once. */
export function attentionTensors(config: ModelConfig): TensorSpec[] {
  const tensors = modelTensors(config);
  const specs = [tensors.embedding, tensors.finalNorm];
  if (!config.tiedEmbeddings) specs.push(tensors.languageModelHead);
  for (let layer = 0; layer < config.layers; layer++) {
    const own = tensors.layer(layer);
    specs.push(own.inputNorm, own.queryProjection, own.keyProjection, own.valueProjection);
    if (own.queryNorm !== null) specs.push(own.queryNorm);
    if (own.keyNorm !== null) specs.push(own.keyNorm);
    specs.push(own.outputProjection, own.postAttentionNorm, own.router);
  }
  return specs;
}

/** The three matrices of one logical expert. */
export const expertTensors = (config: ModelConfig, layer: number, expert: number): ExpertTensors =>
  modelTensors(config).layer(layer).expert(expert);

/** Every tensor that a host of this role may have to load. Expert hosts may be asked to gate, so they need routers too. */
export function* roleTensors(config: ModelConfig, role: HostRole): Generator<TensorSpec> {
  if (role !== 'experts') yield* attentionTensors(config);
  if (role === 'attention') return;
  const tensors = modelTensors(config);
  for (let layer = 0; layer < config.layers; layer++) {
    const { router, expert } = tensors.layer(layer);
    if (role === 'experts') yield router;
    for (let id = 0; id < config.experts; id++) {
      const { gate, up, down } = expert(id);
      yield gate;
      yield up;
      yield down;
    }
  }
}
