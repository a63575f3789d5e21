import type { Layout } from '../../../shared/scheduler/layout.ts';

/**
 * A routing in which all experts are equally likely.
 *
 * @param random Uniform numbers in [0, 1).
 * @returns [tokens, topK], distinct within a token.
 */
export function uniformRouting(
  tokens: number,
  topK: number,
  experts: number,
  random: () => number,
): Int32Array {
  const ids = new Int32Array(tokens * topK);
  const deck = Int32Array.from({ length: experts }, (_, expert) => expert);
  for (let token = 0; token < tokens; token += 1) {
    for (let slot = 0; slot < topK; slot += 1) {
      const other = slot + Math.floor(random() * (experts - slot));
      const chosen = deck[other];
      deck[other] = deck[slot];
      deck[slot] = chosen;
      ids[token * topK + slot] = chosen;
    }
  }
  return ids;
}

/**
 * A layout without sense: one replica of each expert, then up to `extraReplicas` more, each on an instance that does not
 * hold the expert yet.
 *
 * @param random Uniform numbers in [0, 1).
 */
export function randomLayout(
  experts: number,
  instances: number,
  extraReplicas: number,
  random: () => number,
): Layout {
  const below = (limit: number): number => Math.floor(random() * limit);
  const slots = Array.from({ length: instances }, () => new Set<number>());
  for (let expert = 0; expert < experts; expert += 1) slots[below(instances)].add(expert);
  for (let extra = 0; extra < extraReplicas; extra += 1) slots[below(instances)].add(below(experts));
  const sorted = slots.map((held) => [...held].sort((a, b) => a - b));
  return { instances, capacity: Math.max(1, ...sorted.map((held) => held.length)), slots: sorted };
}
