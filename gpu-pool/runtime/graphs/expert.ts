import type { LinearWeights, MatrixFormat } from '../matrix.ts';
import { ModelBuilder } from '../onnx/model-builder.ts';
import { linear } from './linear.ts';

export interface ExpertGraphWeights {
  readonly gate: LinearWeights;
  readonly up: LinearWeights;
  readonly down: LinearWeights;
}

/** One expert's feed-forward network (SwiGLU): `input` `[M, H]` → `output` `[M, H]` = down(silu(gate(x)) ⊙ up(x)). */
export function expertGraph(name: string, weights: ExpertGraphWeights, format: MatrixFormat): Uint8Array {
  const builder = new ModelBuilder(name);
  const input = builder.input('input', 'float32', ['M', weights.gate.inputSize]);
  const gate = linear(builder, input, weights.gate, format);
  const up = linear(builder, input, weights.up, format);
  // x · sigmoid(alpha · x): SiLU in one node.
  const activated = builder.node('QuickGelu', [gate], { alpha: { float: 1 } }, 'com.microsoft');
  linear(builder, builder.node('Mul', [activated, up]), weights.down, format, 'output');
  builder.output('output', 'float32', ['M', weights.down.outputSize]);
  return builder.build();
}
