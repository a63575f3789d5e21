import { BYTES, CALL, END, FAIL, type Grammar, type NodeId, RETURN, SPLIT } from './grammar.ts';
import { leastNesting } from './least-nesting.ts';
import { MAX_GRAMMAR_SIZE } from './limits.ts';
import { sortByDistance } from './nearest-first.ts';
import { SchemaError } from './schema-error.ts';

/** Bytes from `lowest` to `highest` lead to `target`. */
export type ByteEdge = readonly [lowest: number, highest: number, target: NodeId];

const encoder = new TextEncoder();

/**
 * Builds a grammar from its end to its beginning: whoever makes a node says where reading goes on behind it. Nodes that
 * read the same are one node, so that texts with a common end share it.
 */
export class GrammarBuilder {
  readonly #kinds: number[] = [END, SPLIT];
  /** Per node: lowest, highest and target of each edge, or targets alone. */
  readonly #edges: (readonly number[])[] = [[], []];
  readonly #known = new Map<string, NodeId>();
  readonly #remembered = new Map<string, readonly ByteEdge[]>();
  #size = 0;

  /** Reads a byte of any of the edges. */
  bytes(edges: readonly ByteEdge[]): NodeId {
    const living = edges.filter(([, , target]) => target !== FAIL);
    return living.length === 0 ? FAIL : this.#add(BYTES, living.flat());
  }

  /** Goes on at any of `targets`. */
  split(targets: readonly NodeId[]): NodeId {
    const distinct = [...new Set(targets)].filter((target) => target !== FAIL);
    if (distinct.length > 1) return this.#add(SPLIT, distinct);
    return distinct[0] ?? FAIL;
  }

  /** Reads the rule that starts at `rule` and ends with `RETURN`, then goes on at `next`. */
  call(rule: NodeId, next: NodeId): NodeId {
    if (rule === FAIL || next === FAIL) return FAIL;
    return next === RETURN ? rule : this.#add(CALL, [rule, next]);
  }

  /** Reads exactly `text`. */
  literal(text: string, next: NodeId): NodeId {
    return this.chain(encoder.encode(text), 0, next);
  }

  /** Reads exactly the bytes of `text` from position `from` on, up to `to`. */
  chain(text: Uint8Array, from: number, next: NodeId, to = text.length): NodeId {
    let node = next;
    for (let i = to - 1; i >= from; i--) node = this.bytes([[text[i], text[i], node]]);
    return node;
  }

  /** A node to be defined later, as loops and recursion need one. */
  reserve(): NodeId {
    this.spend(2);
    this.#kinds.push(SPLIT);
    return this.#edges.push([]) - 1;
  }

  define(reserved: NodeId, target: NodeId): void {
    this.#edges[reserved] = target === FAIL ? [] : [target];
  }

  /** Reads what `body` makes any number of times, then goes on at `next`. */
  loop(body: (again: NodeId) => NodeId, next: NodeId): NodeId {
    const again = this.reserve();
    this.define(again, this.split([body(again), next]));
    return again;
  }

  /** The edges that `make` makes, made once for each `key`. */
  remembered(key: string, make: () => readonly ByteEdge[]): readonly ByteEdge[] {
    let edges = this.#remembered.get(key);
    if (edges === undefined) {
      edges = make();
      this.#remembered.set(key, edges);
    }
    return edges;
  }

  build(start: NodeId): Grammar {
    const nodes = this.#kinds.length;
    const offsets = new Int32Array(nodes + 1);
    for (let node = 0; node < nodes; node++) {
      const width = this.#kinds[node] === BYTES ? 3 : 1;
      offsets[node + 1] = offsets[node] + this.#edges[node].length / width;
    }
    const targets = new Int32Array(offsets[nodes]);
    const lowest = new Uint8Array(offsets[nodes]);
    const highest = new Uint8Array(offsets[nodes]);
    const { classOf, classes } = this.#byteClasses();
    for (let node = 0; node < nodes; node++) {
      const edges = this.#edges[node];
      for (let edge = offsets[node], i = 0; edge < offsets[node + 1]; edge++) {
        if (this.#kinds[node] === BYTES) {
          lowest[edge] = classOf[edges[i++]];
          highest[edge] = classOf[edges[i++]];
        }
        targets[edge] = edges[i++];
      }
    }
    const graph = { kinds: Uint8Array.from(this.#kinds), offsets, targets };
    sortByDistance(graph);
    return { start, classOf, classes, ...graph, lowest, highest, nesting: leastNesting(graph) };
  }

  #add(kind: number, edges: readonly number[]): NodeId {
    // What is known already counts too, as it takes as long.
    this.spend(1 + edges.length / (kind === BYTES ? 3 : 1));
    const key = `${kind}:${edges.join()}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#kinds.push(kind);
    const node = this.#edges.push(edges) - 1;
    this.#known.set(key, node);
    return node;
  }

  /**
   * Counts work towards the bound of the grammar, also such that makes no node.
   *
   * @throws SchemaError where it is too much
   */
  spend(size: number): void {
    this.#size += size;
    if (this.#size <= MAX_GRAMMAR_SIZE) return;
    throw new SchemaError(
      '#',
      null,
      `is too large: it takes more than ${MAX_GRAMMAR_SIZE} steps to compile; use fewer properties and values, and smaller ` +
        'lengths, numbers of items and repetitions',
    );
  }

  /** Bytes change their class wherever some edge begins or has just ended. */
  #byteClasses(): { classOf: Uint8Array; classes: number } {
    const begins = new Uint8Array(257);
    for (const [node, edges] of this.#edges.entries()) {
      if (this.#kinds[node] !== BYTES) continue;
      for (let i = 0; i < edges.length; i += 3) {
        begins[edges[i]] = 1;
        begins[edges[i + 1] + 1] = 1;
      }
    }
    const classOf = new Uint8Array(256);
    for (let byte = 1; byte < 256; byte++) classOf[byte] = classOf[byte - 1] + begins[byte];
    return { classOf, classes: classOf[255] + 1 };
  }
}
