/**
 * The model's mathematics in plain loops over f64 numbers: what the tests hold the graphs against. Rows are arrays;
 * matrices are flat, `[outputs, inputs]`.
 */
export type Row = readonly number[];

export function linearRow(input: Row, weights: ArrayLike<number>): number[] {
  const outputs = weights.length / input.length;
  return Array.from({ length: outputs }, (_, output) =>
    input.reduce((sum, value, index) => sum + value * weights[output * input.length + index]!, 0),
  );
}

export function rmsNormRow(input: Row, weights: ArrayLike<number>, epsilon: number): number[] {
  const meanSquare = input.reduce((sum, value) => sum + value * value, 0) / input.length;
  return input.map((value, index) => (value / Math.sqrt(meanSquare + epsilon)) * weights[index]!);
}

/** RoPE in its half-split form: element i of a head turns together with element i + D/2. */
export function rotateHead(head: Row, position: number, theta: number): number[] {
  const half = head.length / 2;
  return head.map((value, index) => {
    const angle = position * theta ** ((-2 * (index % half)) / head.length);
    const partner = index < half ? -head[index + half]! : head[index - half]!;
    return value * Math.cos(angle) + partner * Math.sin(angle);
  });
}

export function softmaxRow(scores: Row): number[] {
  const largest = Math.max(...scores);
  const exponentials = scores.map((score) => Math.exp(score - largest));
  const sum = addUp(exponentials);
  return exponentials.map((value) => value / sum);
}

/** Attention of the newest query rows over all key and value rows, causal. */
export function attentionRows(
  queries: readonly Row[],
  keys: readonly Row[],
  values: readonly Row[],
  heads: number,
  keyValueHeads: number,
): number[][] {
  const headSize = queries[0]!.length / heads;
  return queries.map((query, row) => {
    const visible = keys.length - queries.length + row + 1;
    return Array.from({ length: heads }, (_, head) => {
      const shared = Math.floor(head / (heads / keyValueHeads));
      const part = splitHeads(query, heads)[head]!;
      const weights = softmaxRow(
        keys
          .slice(0, visible)
          .map((key) => dot(part, splitHeads(key, keyValueHeads)[shared]!) / Math.sqrt(headSize)),
      );
      return part.map((_, index) =>
        addUp(
          weights.map(
            (weight, position) => weight * splitHeads(values[position]!, keyValueHeads)[shared]![index]!,
          ),
        ),
      );
    }).flat();
  });
}

/** The gate's choice: best first. */
export function routeRow(
  scores: Row,
  expertsPerToken: number,
  normalize: boolean,
): { expertIds: number[]; gateWeights: number[] } {
  const probabilities = softmaxRow(scores);
  const expertIds = probabilities
    .map((_, expert) => expert)
    .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b)
    .slice(0, expertsPerToken);
  const picked = expertIds.map((expert) => probabilities[expert]!);
  const sum = addUp(picked);
  return { expertIds, gateWeights: normalize ? picked.map((weight) => weight / sum) : picked };
}

/** SwiGLU. */
export function expertRow(
  input: Row,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  down: ArrayLike<number>,
): number[] {
  const lifted = linearRow(input, up);
  const inner = linearRow(input, gate).map(
    (value, index) => (value / (1 + Math.exp(-value))) * lifted[index]!,
  );
  return linearRow(inner, down);
}

export function addRows(a: Row, b: Row): number[] {
  return a.map((value, index) => value + b[index]!);
}

export function splitHeads(row: Row, heads: number): number[][] {
  const headSize = row.length / heads;
  return Array.from({ length: heads }, (_, head) => row.slice(head * headSize, (head + 1) * headSize));
}

/** Cuts a flat array into rows. */
export function toRows(flat: ArrayLike<number>, width: number): number[][] {
  return Array.from({ length: flat.length / width }, (_, row) =>
    Array.from({ length: width }, (_, column) => flat[row * width + column]!),
  );
}

/** Largest difference between elements of the same place; infinite where the lengths differ or an element is NaN. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let index = 0; index < actual.length; index += 1) {
    const difference = Math.abs(actual[index]! - expected[index]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return largest;
}

const addUp = (values: Row): number => values.reduce((sum, value) => sum + value, 0);
const dot = (a: Row, b: Row): number => addUp(a.map((value, index) => value * b[index]!));
