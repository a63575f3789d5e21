/**
 * One layer step of one attention instance: the rows of the current batch after the post-attention norm, and the gate's
 * choice for them. The arrays are views of memory that the exchange owns; only their first `rows` rows count.
 */
export interface LayerStep {
  layer: number;
  /** Version of the placement under which the step was made. */
  placementVersion: number;
  /** T, number of rows. */
  rows: number;
  /** True when the attention side has gated: ids and weights are part of the step. Otherwise the expert host gates. */
  gated: boolean;
  /** Instance whose share alone is asked for, or -1 for all instances of the destination (see frame.ts). */
  only: number;
  /** `[T, H]` */
  readonly hidden: Float32Array;
  /** `[T, k]` */
  readonly expertIds: Int32Array;
  /** `[T, k]` */
  readonly gateWeights: Float32Array;
}

/** Sizes of a layer step, fixed for the life of an exchange. */
export interface LayerStepShape {
  /** Largest number of rows of one step. */
  readonly maxRows: number;
  readonly hiddenSize: number;
  readonly expertsPerToken: number;
}
