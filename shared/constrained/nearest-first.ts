import { BYTES, CALL, END, type NodeId, SPLIT } from './grammar.ts';
import { type Graph, predecessors } from './least-nesting.ts';

/**
 * Puts the targets of each `SPLIT` in order, in place: those first from which fewer steps lead to a byte, or to the end of the
 * rule. Whoever goes to the first one each time comes to something that can be read soon.
 */
export function sortByDistance(graph: Graph): void {
  const { kinds, offsets, targets } = graph;
  const distances = readingDistances(graph);
  for (let node = 0; node < kinds.length; node++) {
    if (kinds[node] !== SPLIT) continue;
    const own = targets.subarray(offsets[node], offsets[node + 1]);
    const isSorted = own.every((target, i) => i === 0 || distances[own[i - 1]] <= distances[target]);
    if (!isSorted) own.set([...own].sort((a, b) => distances[a] - distances[b]));
  }
}

/** For each node the steps to the nearest one that reads a byte or ends the rule. */
function readingDistances(graph: Graph): Float64Array {
  const { kinds, offsets, targets } = graph;
  const { first, sources } = predecessors(graph);
  const distances = new Float64Array(kinds.length).fill(Number.POSITIVE_INFINITY);
  let reached: NodeId[] = [];
  for (let node = 0; node < kinds.length; node++) {
    if (kinds[node] === BYTES || kinds[node] === END) reached.push(node);
  }
  for (const node of reached) distances[node] = 0;
  for (let distance = 1; reached.length > 0; distance++) {
    const next: NodeId[] = [];
    for (const node of reached) {
      for (let i = first[node]; i < first[node + 1]; i++) {
        const source = sources[i];
        // A call goes to its rule; what is behind it comes later.
        const leadsHere = kinds[source] !== CALL || targets[offsets[source]] === node;
        if (!leadsHere || distances[source] <= distance) continue;
        distances[source] = distance;
        next.push(source);
      }
    }
    reached = next;
  }
  return distances;
}
