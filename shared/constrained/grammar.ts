export type NodeId = number;

/** The end of a rule: reading goes on where the rule was called, and is done where nobody called it. */
export const RETURN: NodeId = 0;
/** Nothing can be read from here. */
export const FAIL: NodeId = 1;

/** Reads one byte. */
export const BYTES = 0;
/** Goes on at any of its targets. */
export const SPLIT = 1;
/** Reads a rule, its first target, and goes on at its second one. */
export const CALL = 2;
/** `RETURN` alone. */
export const END = 3;

/** What `nesting` says of a node from which the end cannot be reached. */
export const UNREACHABLE = 0xffff;

/**
 * A pushdown automaton over bytes: a graph whose rules call each other. It is not deterministic; `Automaton` follows all
 * of its readings at once.
 */
export interface Grammar {
  readonly start: NodeId;
  /** Bytes that no edge tells apart have one class. */
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** Per node. */
  readonly kinds: Uint8Array;
  /** The edges of node n are those from `offsets[n]` to `offsets[n + 1]`. */
  readonly offsets: Int32Array;
  readonly targets: Int32Array;
  /** Classes that an edge reads; of edges from `BYTES` nodes only. */
  readonly lowest: Uint8Array;
  readonly highest: Uint8Array;
  /** Per node: calls that are open at once, at the least, on the way from it to the end of its rule. */
  readonly nesting: Uint16Array;
}
