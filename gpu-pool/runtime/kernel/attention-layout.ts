import type { ModelConfig } from '../../../shared/model/config.ts';
import { attentionPartBytes, quantizedBytes } from '../../kernels/sizes.ts';
import { storedBytes } from '../../kernels/stored-matrix.ts';
import type { BlockMatrixFormat } from '../matrix.ts';
import type { Region } from './region.ts';
import { SPAN_WORDS, segmentsOf } from './span-table.ts';

/** Sizes that the memory of a `KernelAttentionModel` depends on. */
export interface AttentionSizes {
  readonly maxRows: number;
  /** Sequences that run at once. */
  readonly slots: number;
  readonly attention: BlockMatrixFormat;
  readonly head: BlockMatrixFormat;
}

/** Offsets of a layer's weights. */
export interface LayerOffsets {
  readonly inputNorm: number;
  readonly queryProjection: number;
  readonly keyProjection: number;
  readonly valueProjection: number;
  readonly queryNorm: number;
  readonly keyNorm: number;
  readonly output: number;
  readonly postNorm: number;
  readonly router: number;
}

export type AttentionLayout = ReturnType<typeof layOutAttention>;

const FLOAT = 4;
/** Segments of decoding sequences that threads share at once; where there are more, each sequence is one thread's. */
const SHARED_SEGMENTS = 256;

/** Where everything that an attention instance computes with lies: weights, then what a step works on. */
export function layOutAttention(config: ModelConfig, sizes: AttentionSizes, region: Region) {
  const { hiddenSize, headSize, experts, expertsPerToken, vocabularySize } = config;
  const { maxRows, slots } = sizes;
  const queryWidth = config.attentionHeads * headSize;
  const kvWidth = config.keyValueHeads * headSize;
  const layers = Array.from({ length: config.layers }, () => layOutLayer(config, sizes, region));
  const widest = Math.max(hiddenSize, queryWidth);
  const largestBlock = Math.max(sizes.attention.blockSize, sizes.head.blockSize);
  const partBytes = attentionPartBytes(config.attentionHeads, config.keyValueHeads, headSize);
  const rows = (width: number) => region.allocate(FLOAT * maxRows * width);
  const headRows = (width: number) => region.allocate(FLOAT * slots * width);
  return {
    layers,
    finalNorm: region.allocate(FLOAT * hiddenSize),
    head: region.allocate(storedBytes(vocabularySize, hiddenSize, sizes.head)),
    beforeAttention: rows(hiddenSize),
    beforeExperts: rows(hiddenSize),
    normed: rows(hiddenSize),
    quantized: region.allocate(quantizedBytes(Math.max(maxRows, slots), widest, largestBlock)),
    queries: rows(queryWidth),
    keys: rows(kvWidth),
    values: rows(kvWidth),
    attended: rows(queryWidth),
    projected: rows(hiddenSize),
    moeOutput: rows(hiddenSize),
    scores: rows(experts),
    expertIds: rows(expertsPerToken),
    gateWeights: rows(expertsPerToken),
    cosines: rows(headSize / 2),
    sines: rows(headSize / 2),
    spans: region.allocate(FLOAT * SPAN_WORDS * slots),
    parts: region.allocate(sharedSegments(config, sizes) * partBytes),
    headRows: headRows(1),
    headResidual: headRows(hiddenSize),
    headMoe: headRows(hiddenSize),
    headNormed: headRows(hiddenSize),
    logits: headRows(vocabularySize),
  };
}

/** How many segments threads can share at once. */
export function sharedSegments({ contextLength }: ModelConfig, { slots }: AttentionSizes): number {
  return Math.min(slots * segmentsOf(contextLength), SHARED_SEGMENTS);
}

function layOutLayer(config: ModelConfig, sizes: AttentionSizes, region: Region): LayerOffsets {
  const { hiddenSize, headSize, queryKeyNorm } = config;
  const queryWidth = config.attentionHeads * headSize;
  const kvWidth = config.keyValueHeads * headSize;
  return {
    inputNorm: region.allocate(FLOAT * hiddenSize),
    queryProjection: region.allocate(storedBytes(queryWidth, hiddenSize, sizes.attention)),
    keyProjection: region.allocate(storedBytes(kvWidth, hiddenSize, sizes.attention)),
    valueProjection: region.allocate(storedBytes(kvWidth, hiddenSize, sizes.attention)),
    queryNorm: queryKeyNorm ? region.allocate(FLOAT * headSize) : 0,
    keyNorm: queryKeyNorm ? region.allocate(FLOAT * headSize) : 0,
    output: region.allocate(storedBytes(hiddenSize, queryWidth, sizes.attention)),
    postNorm: region.allocate(FLOAT * hiddenSize),
    router: region.allocate(FLOAT * config.experts * hiddenSize),
  };
}

/**
 * True where the kernels can compute a model's attention side: they take rows in vectors, and outputs in tiles of eight.
 */
export function kernelsFit(config: ModelConfig): boolean {
  const eights = [
    config.hiddenSize,
    config.expertSize,
    config.vocabularySize,
    config.keyValueHeads * config.headSize,
  ];
  const { attentionHeads, keyValueHeads, headSize } = config;
  return (
    eights.every((size) => size % 8 === 0) && headSize % 16 === 0 && attentionHeads % keyValueHeads === 0
  );
}
