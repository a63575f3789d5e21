import { FAIL, type NodeId } from '../grammar.ts';
import type { ByteEdge, GrammarBuilder } from '../grammar-builder.ts';

const encoder = new TextEncoder();

function compare(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return a.length - b.length;
}

/** Reads exactly one of `texts`: a tree, in which texts with a common beginning share it. */
export function oneOf(builder: GrammarBuilder, texts: readonly string[], next: NodeId): NodeId {
  const distinct = [...new Set(texts)].map((text) => encoder.encode(text)).sort(compare);
  return distinct.length === 0 ? FAIL : tree(builder, distinct, 0, next);
}

/** @param texts at least one, ascending, alike up to position `from` */
function tree(builder: GrammarBuilder, texts: readonly Uint8Array[], from: number, next: NodeId): NodeId {
  const [first] = texts;
  const last = texts[texts.length - 1];
  let end = from;
  while (end < first.length && first[end] === last[end]) end++;
  if (texts.length === 1) return builder.chain(first, from, next);
  const edges: ByteEdge[] = [];
  const ends = first.length === end;
  for (let i = ends ? 1 : 0; i < texts.length; ) {
    const byte = texts[i][end];
    const start = i;
    while (i < texts.length && texts[i][end] === byte) i++;
    edges.push([byte, byte, tree(builder, texts.slice(start, i), end + 1, next)]);
  }
  const branch = builder.split([ends ? next : FAIL, builder.bytes(edges)]);
  return builder.chain(first, from, branch, end);
}
