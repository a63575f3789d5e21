import type { ModelConfig } from '../../shared/model/config.ts';
import { modelTensors } from '../../shared/model/tensors.ts';
import { gateGraph } from './graphs/router.ts';
import { GraphSession, view } from './session.ts';
import { readLinear, type WeightSource } from './weights.ts';

/** The gates of all layers, for hosts that route rows themselves. Computes what the attention side's `post` would. */
export class GateModel {
  readonly #config: ModelConfig;
  readonly #sessions: readonly GraphSession[];

  /** @throws JanusError if a router's tensor is missing or has the wrong shape */
  constructor(config: ModelConfig, weights: WeightSource) {
    this.#config = config;
    const tensors = modelTensors(config);
    this.#sessions = Array.from({ length: config.layers }, (_, layer) => {
      const name = `layer ${layer} gate`;
      return GraphSession.create(
        name,
        gateGraph(name, readLinear(weights, tensors.layer(layer).router), config),
      );
    });
  }

  /**
   * @param hidden `[T, H]`
   * @param expertIds `[T, k]`, written, best expert first
   * @param gateWeights `[T, k]`, written
   */
  route(
    layer: number,
    hidden: Float32Array,
    rows: number,
    expertIds: Int32Array,
    gateWeights: Float32Array,
  ): void {
    const { hiddenSize, expertsPerToken } = this.#config;
    this.#sessions[layer]!.run(
      { hidden: view(hidden, rows, hiddenSize) },
      {
        expertIds: view(expertIds, rows, expertsPerToken),
        gateWeights: view(gateWeights, rows, expertsPerToken),
      },
    );
  }
}
