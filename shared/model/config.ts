/**
 * What the pools need to know of a model, whatever its architecture: the fields of Hugging Face's `config.json`
 * under one set of names. `parseModelConfig` (parse.ts) makes it; nothing else reads `config.json`.
 */
export interface ModelConfig {
  readonly architecture: 'qwen3_moe';
  readonly layers: number;
  /** H, width of the residual stream. */
  readonly hiddenSize: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  /** D, width of one head. */
  readonly headSize: number;
  /** True where q and k pass a per-head RMSNorm before RoPE (Qwen3). */
  readonly queryKeyNorm: boolean;
  readonly ropeTheta: number;
  readonly rmsNormEpsilon: number;
  /** E, logical experts per layer. */
  readonly experts: number;
  /** k, experts that the gate picks per token. */
  readonly expertsPerToken: number;
  /** True where the k gate weights are scaled to sum to one. */
  readonly normalizeGateWeights: boolean;
  /** Width of one expert's inner layer. */
  readonly expertSize: number;
  readonly vocabularySize: number;
  /** Largest number of positions, prompt and answer together. */
  readonly contextLength: number;
  /** True where the LM head is the embedding table. */
  readonly tiedEmbeddings: boolean;
  /** Token ids that end an answer. */
  readonly endOfSequenceIds: readonly number[];
}

/** Which side picks the experts of a row. */
export type GatePlacement = 'attention' | 'experts';

/** Form of the weights in memory. Quantised forms apply to the large matrices; norms and the gate stay f32. */
export type WeightForm = 'f32' | 'int8' | 'int4';
