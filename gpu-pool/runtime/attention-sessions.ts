import type { ModelConfig } from '../../shared/model/config.ts';
import type { LayerTensors, TensorSpec } from '../../shared/model/tensor-specs.ts';
import { modelTensors } from '../../shared/model/tensors.ts';
import { attentionGraph } from './graphs/attention.ts';
import { type EmbeddingTable, embeddingGraph } from './graphs/embedding.ts';
import { headGraph } from './graphs/head.ts';
import type { NormWeights } from './graphs/norm.ts';
import { postGraph } from './graphs/post.ts';
import { preGraph } from './graphs/pre.ts';
import { GraphSession } from './session.ts';
import { readLinear, type WeightFormats, type WeightSource } from './weights.ts';

interface LayerSessions {
  readonly pre: GraphSession;
  readonly post: GraphSession;
}

/** The parts of a model's attention side, each ready to be run. */
export interface AttentionSessions {
  readonly embedding: GraphSession;
  readonly attention: GraphSession;
  readonly head: GraphSession;
  readonly layers: readonly LayerSessions[];
}

/**
 * Builds the graphs of a model's attention side, and their sessions.
 *
 * @param gates whether `post` routes
 * @throws JanusError if a tensor is missing or has the wrong shape, or ONNX Runtime rejects a graph
 */
export function buildSessions(
  config: ModelConfig,
  weights: WeightSource,
  formats: WeightFormats,
  gates: boolean,
): AttentionSessions {
  const tensors = modelTensors(config);
  const { vocabularySize, hiddenSize } = config;
  const table = embeddingTable(weights, tensors.embedding);
  const finalNorm = readNorm(config, weights, tensors.finalNorm);
  const vocabulary = readLinear(weights, tensors.languageModelHead);
  return {
    embedding: session('embedding', (name) => embeddingGraph(name, vocabularySize, hiddenSize, table)),
    attention: session('attention', (name) => attentionGraph(name, config)),
    head: session('head', (name) => headGraph(name, finalNorm, vocabulary, formats.head)),
    layers: Array.from({ length: config.layers }, (_, layer) =>
      layerSessions(config, weights, formats, layer, tensors.layer(layer), gates),
    ),
  };
}

/** Gives all memory of the sessions back. */
export function releaseSessions({ embedding, attention, head, layers }: AttentionSessions): void {
  for (const session of [embedding, attention, head]) session.release();
  for (const { pre, post } of layers) {
    pre.release();
    post.release();
  }
}

function layerSessions(
  config: ModelConfig,
  weights: WeightSource,
  formats: WeightFormats,
  layer: number,
  tensors: LayerTensors,
  gates: boolean,
): LayerSessions {
  const pre = {
    norm: readNorm(config, weights, tensors.inputNorm),
    query: readLinear(weights, tensors.queryProjection),
    key: readLinear(weights, tensors.keyProjection),
    value: readLinear(weights, tensors.valueProjection),
    ...(tensors.queryNorm && { queryNorm: readNorm(config, weights, tensors.queryNorm) }),
    ...(tensors.keyNorm && { keyNorm: readNorm(config, weights, tensors.keyNorm) }),
  };
  const post = {
    output: readLinear(weights, tensors.outputProjection),
    norm: readNorm(config, weights, tensors.postAttentionNorm),
    ...(gates && { gate: readLinear(weights, tensors.router) }),
  };
  const shape = { ...config, addsMoeOutput: layer > 0 };
  return {
    pre: session(`layer ${layer} pre`, (name) => preGraph(name, shape, pre, formats.attention)),
    post: session(`layer ${layer} post`, (name) => postGraph(name, post, config, formats.attention)),
  };
}

function session(name: string, graph: (name: string) => Uint8Array): GraphSession {
  return GraphSession.create(name, graph(name));
}

function readNorm(config: ModelConfig, source: WeightSource, { name, shape }: TensorSpec): NormWeights {
  return { weights: source.float32(name, shape), epsilon: config.rmsNormEpsilon };
}

function embeddingTable(source: WeightSource, { name, shape }: TensorSpec): EmbeddingTable {
  const bytes = source.bfloat16?.(name, shape);
  if (bytes !== undefined) return { type: 'bfloat16', data: bytes };
  return { type: 'float32', data: source.float32(name, shape) };
}
