import type { LinearWeights } from '../matrix.ts';
import { ELEMENT_TYPES, ModelBuilder, type ValueName } from '../onnx/model-builder.ts';
import { linear } from './linear.ts';

/** A graph of the gate alone: input `hidden` `[T, H]`, outputs as `router` adds them. */
export function gateGraph(name: string, gate: LinearWeights, routing: Routing): Uint8Array {
  const builder = new ModelBuilder(name);
  router(builder, builder.input('hidden', 'float32', ['T', gate.inputSize]), gate, routing);
  return builder.build();
}

export interface Routing {
  /** k */
  readonly expertsPerToken: number;
  /** True scales the k gate weights of a token to sum to one. */
  readonly normalizeGateWeights: boolean;
}

/**
 * The gate: adds the outputs `expertIds` int32 and `gateWeights` f32, both `[T, k]`, best expert first, equals by id. The
 * softmax runs over all experts, before the best k are picked (as in Hugging Face's Qwen3-MoE).
 */
export function router(
  builder: ModelBuilder,
  hidden: ValueName,
  gate: LinearWeights,
  { expertsPerToken, normalizeGateWeights }: Routing,
): void {
  // Never quantised: a rounded score can send a token to another expert altogether.
  const scores = linear(builder, hidden, gate, { form: 'f32' });
  const probabilities = builder.node('Softmax', [scores], { axis: -1 });
  const best = normalizeGateWeights ? 'bestProbabilities' : 'gateWeights';
  builder.nodeWithOutputs(
    'TopK',
    [probabilities, builder.integers([expertsPerToken])],
    [best, 'bestExperts'],
    { axis: -1, largest: 1, sorted: 1 },
  );
  builder.node('Cast', ['bestExperts'], { to: ELEMENT_TYPES.int32 }, '', 'expertIds');
  if (normalizeGateWeights) {
    const sum = builder.node('ReduceSum', [best, builder.integers([-1])], { keepdims: 1 });
    builder.node('Div', [best, sum], {}, '', 'gateWeights');
  }
  builder.output('expertIds', 'int32', ['T', expertsPerToken]);
  builder.output('gateWeights', 'float32', ['T', expertsPerToken]);
}
