import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { GatePlacement, ModelConfig } from '../../../shared/model/config.ts';
import type { TensorSpec } from '../../../shared/model/tensor-specs.ts';
import { modelTensors } from '../../../shared/model/tensors.ts';
import type { Kernels } from '../../kernels/kernels.ts';
import { storedBytes } from '../../kernels/stored-matrix.ts';
import type { Team } from '../../team/team.ts';
import type { AttentionCompute, AttentionSpan } from '../attention-compute.ts';
import { EmbeddingRows } from '../embedding-rows.ts';
import type { BlockMatrixFormat } from '../matrix.ts';
import { RotaryTable } from '../rotary.ts';
import type { ModelWeights } from '../weights.ts';
import {
  type AttentionLayout,
  type AttentionSizes,
  layOutAttention,
  sharedSegments,
} from './attention-layout.ts';
import { TaskKind } from './kernel-tasks.ts';
import { columnsOf, unitsOf } from './product-kind.ts';
import type { QuantizedProducts } from './quantized-products.ts';
import type { Region } from './region.ts';
import { SpanTable, type WrittenSpans } from './span-table.ts';
import { writeMatrix } from './write-matrix.ts';

export interface KernelAttentionOptions extends AttentionSizes {
  readonly kernels: Kernels;
  /** Of the calling thread. */
  readonly products: QuantizedProducts;
  readonly memory: WebAssembly.Memory;
  /** Where its weights and buffers go. */
  readonly region: Region;
  /** Threads that share the work. */
  readonly team: Team;
  readonly gate: GatePlacement;
}

/** Outputs of rows, scores and attended positions with fewer of which waking a helper costs more than it helps: about 50 µs of work. */
const FEWEST_OUTPUT_ROWS = 512;
const FEWEST_ATTENDED = 256;
const FEWEST_SCORES = 512;
/** Chunks of decoding sequences per thread; not more than the team's own, so that they are whole sequences. */
const SINGLE_CHUNKS_PER_THREAD = 4;

/** The attention side in WebAssembly kernels: quantised projections and LM head, everything else in f32. */
export class KernelAttentionModel implements AttentionCompute {
  readonly maxRows: number;
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly moeOutput: Float32Array;
  readonly #config: ModelConfig;
  readonly #options: KernelAttentionOptions;
  readonly #at: AttentionLayout;
  readonly #embedding: EmbeddingRows;
  readonly #rotary: RotaryTable;
  readonly #buffer: ArrayBufferLike;
  readonly #spans: SpanTable;
  readonly #sharedSegments: number;
  /** T of the step under way. */
  #rows = 0;

  /** Reads the weights. @throws JanusError if a tensor is missing or has the wrong shape */
  constructor(config: ModelConfig, weights: ModelWeights, options: KernelAttentionOptions) {
    const { memory, region, maxRows, slots } = options;
    this.#config = config;
    this.#options = options;
    this.#buffer = memory.buffer;
    this.maxRows = maxRows;
    this.#at = layOutAttention(config, options, region);
    const kvWidth = config.keyValueHeads * config.headSize;
    this.keys = this.#floats(this.#at.keys, maxRows * kvWidth);
    this.values = this.#floats(this.#at.values, maxRows * kvWidth);
    this.moeOutput = this.#floats(this.#at.moeOutput, maxRows * config.hiddenSize);
    this.#sharedSegments = sharedSegments(config, options);
    this.#spans = new SpanTable(this.#buffer, this.#at.spans, slots);
    this.#rotary = new RotaryTable(config.contextLength, config.headSize, config.ropeTheta);
    this.#embedding = new EmbeddingRows(config, weights);
    this.#load(weights);
  }

  #floats(offset: number, length: number): Float32Array {
    return new Float32Array(this.#buffer, offset, length);
  }

  #load(weights: ModelWeights): void {
    const { attention, head } = this.#options;
    const tensors = modelTensors(this.#config);
    this.#loadFloats(weights, tensors.finalNorm, this.#at.finalNorm);
    this.#loadMatrix(weights, tensors.languageModelHead, head, this.#at.head);
    for (const [layer, at] of this.#at.layers.entries()) {
      const of = tensors.layer(layer);
      this.#loadFloats(weights, of.inputNorm, at.inputNorm);
      this.#loadFloats(weights, of.postAttentionNorm, at.postNorm);
      this.#loadFloats(weights, of.router, at.router);
      if (of.queryNorm) this.#loadFloats(weights, of.queryNorm, at.queryNorm);
      if (of.keyNorm) this.#loadFloats(weights, of.keyNorm, at.keyNorm);
      this.#loadMatrix(weights, of.queryProjection, attention, at.queryProjection);
      this.#loadMatrix(weights, of.keyProjection, attention, at.keyProjection);
      this.#loadMatrix(weights, of.valueProjection, attention, at.valueProjection);
      this.#loadMatrix(weights, of.outputProjection, attention, at.output);
    }
  }

  #loadFloats(weights: ModelWeights, { name, shape }: TensorSpec, offset: number): void {
    const values = weights.float32(name, shape);
    this.#floats(offset, values.length).set(values);
  }

  #loadMatrix(weights: ModelWeights, spec: TensorSpec, format: BlockMatrixFormat, offset: number): void {
    const bytes = storedBytes(spec.shape[0]!, spec.shape[1]!, format);
    writeMatrix(weights, spec, format, new Uint8Array(this.#buffer, offset, bytes));
  }

  embed(tokenIds: Int32Array, positions: Int32Array, rows: number): void {
    if (rows < 1 || rows > this.maxRows) {
      throw new JanusError(`a step of ${rows} rows is outside 1 … ${this.maxRows} (maxRows)`);
    }
    const { hiddenSize, headSize } = this.#config;
    const angles = (rows * headSize) / 2;
    this.#rows = rows;
    this.#rotary.fill(
      positions,
      rows,
      this.#floats(this.#at.cosines, angles),
      this.#floats(this.#at.sines, angles),
    );
    this.#embedding.gather(tokenIds, rows, this.#floats(this.#at.beforeAttention, rows * hiddenSize));
  }

  pre(layer: number): void {
    const { hiddenSize, headSize, attentionHeads, keyValueHeads, rmsNormEpsilon } = this.#config;
    const { kernels, products, team, attention } = this.#options;
    const at = this.#at;
    const weights = at.layers[layer]!;
    const rows = this.#rows;
    const source = layer === 0 ? at.beforeAttention : at.beforeExperts;
    const addend = layer === 0 ? 0 : at.moeOutput;
    const sum = layer === 0 ? 0 : at.beforeAttention;
    kernels.rmsNorm(source, addend, weights.inputNorm, rows, hiddenSize, rmsNormEpsilon, at.normed, sum);
    const width = attentionHeads * headSize;
    const kind = products.kindOf(attention, hiddenSize, width, rows);
    products.quantize(kind, at.normed, rows, hiddenSize, attention.blockSize, at.quantized);
    const kvWidth = keyValueHeads * headSize;
    team.run(
      TaskKind.project,
      [
        ...[kind, hiddenSize, attention.blockSize, at.quantized, rows],
        ...[weights.queryProjection, weights.keyProjection, weights.valueProjection],
        ...[at.queries, at.keys, at.values, width, kvWidth, kvWidth],
      ],
      unitsOf(kind, width) + 2 * unitsOf(kind, kvWidth),
      FEWEST_OUTPUT_ROWS / columnsOf(kind) / rows,
    );
    const { cosines, sines } = at;
    const { queryNorm, keyNorm } = weights;
    kernels.rotate(
      at.queries,
      width,
      rows,
      attentionHeads,
      headSize,
      cosines,
      sines,
      queryNorm,
      rmsNormEpsilon,
    );
    kernels.rotate(at.keys, kvWidth, rows, keyValueHeads, headSize, cosines, sines, keyNorm, rmsNormEpsilon);
  }

  /** @param spans with keys and values in kernel memory */
  attendAll(spans: readonly AttentionSpan[], count: number): void {
    const { keyValueHeads } = this.#config;
    const { threads } = this.#options.team;
    const several = this.#spans.write(spans, count, true);
    this.#attendWhole(several, Math.ceil(keyValueHeads / threads));
    const single = this.#spans.write(spans, count, false);
    const { spans: taken, segments } = single;
    const isFew = taken < SINGLE_CHUNKS_PER_THREAD * threads && segments > taken;
    if (threads > 1 && isFew && segments <= this.#sharedSegments) this.#attendSegments(single);
    // What one row attends to is read once: a thread that takes some heads of it reads hardly less than one that takes all.
    else this.#attendWhole(single, Math.ceil(taken / (SINGLE_CHUNKS_PER_THREAD * threads)) * keyValueHeads);
  }

  /** @param leastChunk key-value heads that a thread takes together */
  #attendWhole({ spans, attended }: WrittenSpans, leastChunk: number): void {
    if (spans === 0) return;
    const { attentionHeads, keyValueHeads, headSize } = this.#config;
    const at = this.#at;
    this.#options.team.run(
      TaskKind.attend,
      [this.#spans.offset, at.queries, at.attended, attentionHeads, keyValueHeads, headSize],
      spans * keyValueHeads,
      attended < FEWEST_ATTENDED ? Number.POSITIVE_INFINITY : leastChunk + 1,
      leastChunk,
    );
  }

  #attendSegments({ segments }: WrittenSpans): void {
    const { attentionHeads, keyValueHeads, headSize } = this.#config;
    const at = this.#at;
    this.#options.team.run(
      TaskKind.attendSegments,
      [this.#spans.offset, at.queries, at.attended, attentionHeads, keyValueHeads, headSize, at.parts],
      segments,
      2,
    );
  }

  post(layer: number, hidden: Float32Array, expertIds: Int32Array, gateWeights: Float32Array): void {
    const { hiddenSize, headSize, attentionHeads, rmsNormEpsilon } = this.#config;
    const { kernels, gate } = this.#options;
    const at = this.#at;
    const weights = at.layers[layer]!;
    const rows = this.#rows;
    const width = attentionHeads * headSize;
    // Straight into a lane that lies in kernel memory.
    const normed = hidden.buffer === this.#buffer ? hidden.byteOffset : at.normed;
    this.#linear(this.#options.attention, at.attended, width, rows, weights.output, hiddenSize, at.projected);
    kernels.rmsNorm(
      at.beforeAttention,
      at.projected,
      weights.postNorm,
      rows,
      hiddenSize,
      rmsNormEpsilon,
      normed,
      at.beforeExperts,
    );
    if (normed === at.normed) hidden.set(this.#floats(normed, rows * hiddenSize));
    if (gate === 'attention') this.#route(normed, weights.router, expertIds, gateWeights);
  }

  #route(normed: number, router: number, expertIds: Int32Array, gateWeights: Float32Array): void {
    const { hiddenSize, experts, expertsPerToken, normalizeGateWeights } = this.#config;
    const { kernels, team } = this.#options;
    const at = this.#at;
    const rows = this.#rows;
    team.run(
      TaskKind.linearFloat,
      [normed, rows, hiddenSize, router, at.scores, experts],
      experts,
      FEWEST_SCORES / rows,
    );
    const normalize = normalizeGateWeights ? 1 : 0;
    const inLane = expertIds.buffer === this.#buffer && gateWeights.buffer === this.#buffer;
    const ids = inLane ? expertIds.byteOffset : at.expertIds;
    const chosen = inLane ? gateWeights.byteOffset : at.gateWeights;
    kernels.chooseExperts(at.scores, rows, experts, expertsPerToken, normalize, ids, chosen);
    if (inLane) return;
    const pairs = rows * expertsPerToken;
    expertIds.set(new Int32Array(this.#buffer, at.expertIds, pairs));
    gateWeights.set(this.#floats(at.gateWeights, pairs));
  }

  /** `output [rows, outputSize] = source [rows, inputSize] · weightsᵀ`, by the whole team. */
  #linear(
    format: BlockMatrixFormat,
    source: number,
    inputSize: number,
    rows: number,
    weights: number,
    outputSize: number,
    output: number,
  ): void {
    const { products, team } = this.#options;
    const { quantized } = this.#at;
    const { blockSize } = format;
    const kind = products.kindOf(format, inputSize, outputSize, rows);
    products.quantize(kind, source, rows, inputSize, blockSize, quantized);
    team.run(
      TaskKind.linear,
      [kind, weights, inputSize, blockSize, quantized, rows, output, outputSize],
      unitsOf(kind, outputSize),
      FEWEST_OUTPUT_ROWS / columnsOf(kind) / rows,
    );
  }

  head(rowIndices: Int32Array, count: number, logits: Float32Array): void {
    const { hiddenSize, vocabularySize, rmsNormEpsilon } = this.#config;
    const { kernels, head } = this.#options;
    const at = this.#at;
    new Int32Array(this.#buffer, at.headRows, count).set(rowIndices.subarray(0, count));
    kernels.moveRows(at.beforeExperts, at.headRows, count, 4 * hiddenSize, at.headResidual);
    kernels.moveRows(at.moeOutput, at.headRows, count, 4 * hiddenSize, at.headMoe);
    kernels.rmsNorm(
      at.headResidual,
      at.headMoe,
      at.finalNorm,
      count,
      hiddenSize,
      rmsNormEpsilon,
      at.headNormed,
      at.headResidual,
    );
    this.#linear(head, at.headNormed, hiddenSize, count, at.head, vocabularySize, at.logits);
    logits.set(this.#floats(at.logits, count * vocabularySize));
  }

  release(): void {}
}
