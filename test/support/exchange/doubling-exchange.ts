import { allocateStep, type Exchange } from '../../../gpu-pool/exchange/exchange.ts';
import { PeerLostError } from '../../../gpu-pool/exchange/link.ts';
import type { LayerStep, LayerStepShape } from '../../../shared/protocol/layer-step.ts';

/** Second element of a row that makes the exchange fail, or never answer. */
export const MARK = { none: 0, fail: 1, hang: 2 } as const;

/**
 * The leader's way to experts in the tests of rounds. The first element of a row is the layer that its sender is in, its
 * first expert id is its sender. Its output takes all parts of the row, and is cheap to compute.
 */
export class DoublingExchange implements Exchange {
  readonly step: LayerStep;
  readonly aMax = 0;
  readonly statistics = [];
  readonly counters = { layerSteps: 0, totalAMax: 0, regimes: [] };
  /** Instances whose rows came in the last layer step, in their order. */
  senders: number[] = [];
  readonly #shape: LayerStepShape;

  constructor(shape: LayerStepShape) {
    this.#shape = shape;
    this.step = allocateStep(shape);
  }

  /** Element `i` of the output of `row` in `step`: 2·hidden + Σ expert id · gate weight. */
  valueOf(step: LayerStep, row: number, i: number): number {
    const { hiddenSize, expertsPerToken } = this.#shape;
    let value = 2 * step.hidden[row * hiddenSize + i]!;
    for (let choice = 0; choice < expertsPerToken; choice++) {
      const pair = row * expertsPerToken + choice;
      value += step.expertIds[pair]! * step.gateWeights[pair]!;
    }
    return Math.fround(value);
  }

  async run(layer: number, rows: number, output: Float32Array): Promise<void> {
    const { hiddenSize, expertsPerToken } = this.#shape;
    const senders = new Set<number>();
    await new Promise(setImmediate);
    for (let row = 0; row < rows; row++) {
      const [rowLayer, mark] = this.step.hidden.subarray(row * hiddenSize);
      if (rowLayer !== layer) throw new Error(`a row of layer ${rowLayer} came in a step of layer ${layer}`);
      if (mark === MARK.fail) throw new PeerLostError('experts', 'somebody pulled the plug');
      if (mark === MARK.hang) await new Promise(() => {});
      senders.add(this.step.expertIds[row * expertsPerToken]!);
      for (let i = 0; i < hiddenSize; i++) output[row * hiddenSize + i] = this.valueOf(this.step, row, i);
    }
    this.senders = [...senders];
  }

  async close(): Promise<void> {}
}
