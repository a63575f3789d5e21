import { ModelBuilder, OMITTED } from '../onnx/model-builder.ts';

export interface AttentionGraphShape {
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  /** D */
  readonly headSize: number;
}

/**
 * Causal attention of one sequence, with no weights of its own: `queries` `[1, S, heads·D]` of the newest S positions
 * over `keys` and `values` `[1, n, kvHeads·D]` of all n positions, those S included → `attended` `[1, S, heads·D]`.
 * Scores are scaled by 1/√D. It serves decode (S = 1) and chunked prefill (S > 1) alike, and computes over all n that it
 * is given: pass views of the exact length.
 */
export function attentionGraph(name: string, shape: AttentionGraphShape): Uint8Array {
  const queryWidth = shape.attentionHeads * shape.headSize;
  const keyWidth = shape.keyValueHeads * shape.headSize;
  const builder = new ModelBuilder(name);
  const queries = builder.input('queries', 'float32', [1, 'S', queryWidth]);
  const keys = builder.input('keys', 'float32', [1, 'n', keyWidth]);
  const values = builder.input('values', 'float32', [1, 'n', keyWidth]);
  // Told that all n keys are in use, the operator aligns the causal mask with the last key; else with the first.
  const length = builder.node('Shape', [keys], { start: 1, end: 2 });
  builder.node(
    'Attention',
    [queries, keys, values, OMITTED, OMITTED, OMITTED, length],
    { is_causal: 1, q_num_heads: shape.attentionHeads, kv_num_heads: shape.keyValueHeads },
    '',
    'attended',
  );
  builder.output('attended', 'float32', [1, 'S', queryWidth]);
  return builder.build();
}
