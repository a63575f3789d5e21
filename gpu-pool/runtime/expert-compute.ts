/** Computes rows of one expert of one layer: `input` `[M, H]` to `output` `[M, H]`. */
export type ExpertCompute = (
  layer: number,
  expert: number,
  input: Float32Array,
  rows: number,
  output: Float32Array,
) => void;

/**
 * The same where everything lies in kernel memory, and stays there. Returns false, and does nothing, where it cannot.
 *
 * @param hidden `[T, H]`
 * @param pairs int32, of which those from `first` on name the rows: ⌊pair / k⌋
 * @param rows M
 * @param outputs rows of H floats, of which M from `first` on are written
 * @throws JanusError if this host does not hold the expert
 */
export type PairsCompute = (
  layer: number,
  expert: number,
  hidden: Float32Array,
  pairs: Int32Array,
  first: number,
  rows: number,
  outputs: Float32Array,
) => boolean;
