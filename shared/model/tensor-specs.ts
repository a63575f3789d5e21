/** Name of a tensor in the checkpoint, and the shape that the config gives it. Matrices are `[outputs, inputs]`. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** One SwiGLU expert: `down · (silu(gate · x) ∘ (up · x))`. */
export interface ExpertTensors {
  /** `[expertSize, H]` */
  readonly gate: TensorSpec;
  /** `[expertSize, H]` */
  readonly up: TensorSpec;
  /** `[H, expertSize]` */
  readonly down: TensorSpec;
}

export interface LayerTensors {
  /** `[H]` */
  readonly inputNorm: TensorSpec;
  /** `[heads · D, H]` */
  readonly queryProjection: TensorSpec;
  /** `[keyValueHeads · D, H]` */
  readonly keyProjection: TensorSpec;
  /** `[keyValueHeads · D, H]` */
  readonly valueProjection: TensorSpec;
  /** `[D]`; null where the architecture has no such norm. */
  readonly queryNorm: TensorSpec | null;
  /** `[D]`; null where the architecture has no such norm. */
  readonly keyNorm: TensorSpec | null;
  /** `[H, heads · D]` */
  readonly outputProjection: TensorSpec;
  /** `[H]` */
  readonly postAttentionNorm: TensorSpec;
  /** `[E, H]` */
  readonly router: TensorSpec;
  expert(expert: number): ExpertTensors;
}

export interface ModelTensors {
  /** `[vocabularySize, H]` */
  readonly embedding: TensorSpec;
  /** `[H]` */
  readonly finalNorm: TensorSpec;
  /** `[vocabularySize, H]`; the embedding itself where embeddings are tied. */
  readonly languageModelHead: TensorSpec;
  layer(layer: number): LayerTensors;
}
