import { ELEMENT_TYPES, ModelBuilder } from '../onnx/model-builder.ts';

/** Table `[vocabularySize, hiddenSize]`: a checkpoint's bf16 bytes as they are, or f32. */
export type EmbeddingTable =
  | { readonly type: 'bfloat16'; readonly data: Uint8Array }
  | { readonly type: 'float32'; readonly data: Float32Array };

/** `tokenIds` int32 `[T]` → `residual` `[T, H]`. */
export function embeddingGraph(
  name: string,
  vocabularySize: number,
  hiddenSize: number,
  table: EmbeddingTable,
): Uint8Array {
  const builder = new ModelBuilder(name);
  const tokenIds = builder.input('tokenIds', 'int32', ['T']);
  const rows = builder.constant(table.type, [vocabularySize, hiddenSize], table.data);
  if (table.type === 'float32') {
    builder.node('Gather', [rows, tokenIds], { axis: 0 }, '', 'residual');
  } else {
    const picked = builder.node('Gather', [rows, tokenIds], { axis: 0 });
    builder.node('Cast', [picked], { to: ELEMENT_TYPES.float32 }, '', 'residual');
  }
  builder.output('residual', 'float32', ['T', hiddenSize]);
  return builder.build();
}
