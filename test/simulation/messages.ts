/** A layer step on its way to an expert host. */
export interface LayerFrame {
  readonly kind: 'step';
  /** Names the step among all steps; a frame that comes again has the same. */
  readonly step: string;
  readonly version: number;
  readonly layer: number;
  readonly rows: readonly number[];
  /** [rows, k] */
  readonly expertIds: Int32Array;
}

/** The answer of an expert host. */
export type LayerAnswer =
  | {
      readonly kind: 'share';
      readonly step: string;
      /** [rows]: sum over those of a row's experts that the host has to compute. */
      readonly sums: readonly number[];
    }
  | { readonly kind: 'stale'; readonly step: string; readonly held: number };
