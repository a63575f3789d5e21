import { JanusError } from '../../shared/errors/janus-error.ts';
import type { ModelConfig } from '../../shared/model/config.ts';
import { expertTensors } from '../../shared/model/tensors.ts';
import type { PairsCompute } from './expert-compute.ts';
import { expertGraph } from './graphs/expert.ts';
import { KernelExperts } from './kernel/kernel-experts.ts';
import type { KernelSource } from './kernel/kernel-source.ts';
import { GraphSession, view } from './session.ts';
import { expertFormat, type ModelWeights, readLinear, type WeightFormats } from './weights.ts';

interface LoadedExpert {
  /** Absent where the expert lies in kernel memory. */
  readonly session?: GraphSession;
  readonly bytes: number;
}

/**
 * The experts that one expert instance holds, loaded and dropped one by one as the placement wants: those that are kept in
 * blocks in kernel memory where the host has it, all others as sessions of ONNX Runtime.
 */
export class ExpertModel {
  readonly #config: ModelConfig;
  readonly #weights: ModelWeights;
  readonly #formats: WeightFormats;
  readonly #kernels: KernelExperts | undefined;
  readonly #loaded = new Map<number, LoadedExpert>();
  #loadedBytes = 0;

  constructor(config: ModelConfig, weights: ModelWeights, formats: WeightFormats, kernels?: KernelSource) {
    this.#config = config;
    this.#weights = weights;
    this.#formats = formats;
    this.#kernels = kernels && new KernelExperts(config, formats, kernels);
  }

  /** Bytes of the loaded experts' graphs, nearly all of which are weights. */
  get loadedBytes(): number {
    return this.#loadedBytes;
  }

  has(layer: number, expert: number): boolean {
    return this.#loaded.has(this.#key(layer, expert));
  }

  /**
   * Loads an expert; does nothing if it is loaded.
   * @throws JanusError if the model has no such expert or one of its tensors is missing or has the wrong shape.
   */
  load(layer: number, expert: number): void {
    const { layers, experts } = this.#config;
    if (!(layer >= 0 && layer < layers && expert >= 0 && expert < experts)) {
      throw new JanusError(
        `there is no expert ${expert} of layer ${layer}: the model has ${layers} layers of ${experts} experts`,
      );
    }
    if (this.has(layer, expert)) return;
    const loaded = this.#kernels?.computes(layer)
      ? { bytes: this.#kernels.load(layer, expert, this.#weights) }
      : this.#loadSession(layer, expert);
    this.#loaded.set(this.#key(layer, expert), loaded);
    this.#loadedBytes += loaded.bytes;
  }

  /** Takes an expert that another instance of the host has loaded to kernel memory. @throws JanusError if none can have */
  adopt(layer: number, expert: number): void {
    if (this.has(layer, expert)) return;
    if (!this.#kernels?.computes(layer)) {
      throw new JanusError(`expert ${expert} of layer ${layer} is not in memory that instances share`);
    }
    const bytes = this.#kernels.bytesOf(layer);
    this.#loaded.set(this.#key(layer, expert), { bytes });
    this.#loadedBytes += bytes;
  }

  #loadSession(layer: number, expert: number): LoadedExpert {
    const tensors = expertTensors(this.#config, layer, expert);
    const name = `layer ${layer} expert ${expert}`;
    const weights = {
      gate: readLinear(this.#weights, tensors.gate),
      up: readLinear(this.#weights, tensors.up),
      down: readLinear(this.#weights, tensors.down),
    };
    const graph = expertGraph(name, weights, expertFormat(this.#formats, layer));
    return { session: GraphSession.create(name, graph), bytes: graph.byteLength };
  }

  /** Drops an expert and its memory; does nothing if it is not loaded. */
  unload(layer: number, expert: number): void {
    const key = this.#key(layer, expert);
    const loaded = this.#loaded.get(key);
    if (loaded === undefined) return;
    loaded.session?.release();
    this.#loaded.delete(key);
    this.#loadedBytes -= loaded.bytes;
  }

  /**
   * Runs an expert on M rows. Both arrays may lie in memory that threads share.
   * @param input `[M, H]`
   * @param rows M
   * @param output `[M, H]`
   * @throws JanusError if the expert is not loaded.
   */
  run(layer: number, expert: number, input: Float32Array, rows: number, output: Float32Array): void {
    const loaded = this.#loaded.get(this.#key(layer, expert));
    if (loaded === undefined) throw new JanusError(`expert ${expert} of layer ${layer} is not loaded here`);
    if (loaded.session === undefined) {
      this.#kernels!.run(layer, expert, input, rows, output);
      return;
    }
    const { hiddenSize } = this.#config;
    loaded.session.run({ input: view(input, rows, hiddenSize) }, { output: view(output, rows, hiddenSize) });
  }

  /** The same on rows of a lane in kernel memory. */
  readonly runPairs: PairsCompute = (layer, expert, hidden, pairs, first, rows, outputs) => {
    const loaded = this.#loaded.get(this.#key(layer, expert));
    if (loaded === undefined || loaded.session !== undefined) return false;
    return this.#kernels!.runPairs(layer, expert, hidden, pairs, first, rows, outputs);
  };

  /** Drops all experts. */
  release(): void {
    for (const { session } of this.#loaded.values()) session?.release();
    this.#loaded.clear();
    this.#loadedBytes = 0;
  }

  #key(layer: number, expert: number): number {
    return layer * this.#config.experts + expert;
  }
}
