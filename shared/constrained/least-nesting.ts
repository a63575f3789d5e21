import { CALL, type Grammar, RETURN, UNREACHABLE } from './grammar.ts';

export type Graph = Pick<Grammar, 'kinds' | 'offsets' | 'targets'>;

/**
 * For each node the least number of calls that are open at once on the way to the end of its rule, or `UNREACHABLE`.
 * With it an automaton takes no way that its bound of nesting would not let it finish.
 *
 * From the end backwards: the sources of a node are looked at again whenever it became less.
 */
export function leastNesting(graph: Graph): Uint16Array {
  const { kinds, offsets, targets } = graph;
  const { first, sources } = predecessors(graph);
  const nesting = new Uint16Array(kinds.length).fill(UNREACHABLE);
  const throughCall = (call: number): number => {
    const inside = Math.min(nesting[targets[offsets[call]]] + 1, UNREACHABLE);
    return Math.max(inside, nesting[targets[offsets[call] + 1]]);
  };
  nesting[RETURN] = 0;
  const changed = [RETURN];
  for (let node = changed.pop(); node !== undefined; node = changed.pop()) {
    for (let i = first[node]; i < first[node + 1]; i++) {
      const source = sources[i];
      const least = kinds[source] === CALL ? throughCall(source) : nesting[node];
      if (least >= nesting[source]) continue;
      nesting[source] = least;
      changed.push(source);
    }
  }
  return nesting;
}

/** The nodes with an edge to node n are `sources` from `first[n]` to `first[n + 1]`. */
export function predecessors({ kinds, offsets, targets }: Graph): { first: Int32Array; sources: Int32Array } {
  const first = new Int32Array(kinds.length + 1);
  for (const target of targets) first[target + 1]++;
  for (let node = 0; node < kinds.length; node++) first[node + 1] += first[node];
  const filled = first.slice();
  const sources = new Int32Array(targets.length);
  for (let node = 0; node < kinds.length; node++) {
    for (let edge = offsets[node]; edge < offsets[node + 1]; edge++) sources[filled[targets[edge]]++] = node;
  }
  return { first, sources };
}
