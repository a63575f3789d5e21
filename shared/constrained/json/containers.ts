import { FAIL, type NodeId } from '../grammar.ts';
import type { GrammarBuilder } from '../grammar-builder.ts';

/** Makes a node that reads something and goes on at `next`. */
export type Reader = (next: NodeId) => NodeId;

export interface Member {
  readonly name: string;
  readonly isRequired: boolean;
  readonly value: Reader;
}

/** Members of any name that follow the named ones, as many as there are. `key` reads the name with its quotes. */
export interface FreeMembers {
  readonly key: Reader;
  readonly value: Reader;
}

/** How many items an array has. */
export interface ItemCount {
  readonly least: number;
  readonly most: number;
}

/**
 * At most one space, behind `:` and `,`, and no other white space: both usual ways to write JSON on one line are there for a
 * model to take, and none in which it could write blanks for ever.
 */
const spaced = (builder: GrammarBuilder, node: NodeId): NodeId =>
  builder.split([node, builder.literal(' ', node)]);

const comma = (builder: GrammarBuilder, node: NodeId): NodeId => builder.literal(',', spaced(builder, node));
const colon = (builder: GrammarBuilder, node: NodeId): NodeId => builder.literal(':', spaced(builder, node));

/** Reads an object whose members come in this order; those that are not required may be left out. */
export function objectOf(
  builder: GrammarBuilder,
  members: readonly Member[],
  free: FreeMembers | null,
  next: NodeId,
): NodeId {
  const close = builder.literal('}', next);
  // What can come where no member has been read yet, and where one has.
  let first = close;
  let further = close;
  if (free !== null) {
    const loop = builder.reserve();
    const member = free.key(colon(builder, free.value(loop)));
    builder.define(loop, builder.split([close, comma(builder, member)]));
    first = builder.split([close, member]);
    further = loop;
  }
  for (const { name, isRequired, value } of members.toReversed()) {
    const member = builder.literal(JSON.stringify(name), colon(builder, value(further)));
    first = builder.split([member, isRequired ? FAIL : first]);
    further = builder.split([comma(builder, member), isRequired ? FAIL : further]);
  }
  return builder.literal('{', first);
}

/** Reads an array whose items are read by the rule `item`. */
export function arrayOf(
  builder: GrammarBuilder,
  item: NodeId,
  { least, most }: ItemCount,
  next: NodeId,
): NodeId {
  const close = builder.literal(']', next);
  let behind = close;
  let count = most;
  if (most === Number.POSITIVE_INFINITY) {
    count = Math.max(least, 1);
    behind = builder.reserve();
    builder.define(behind, builder.split([close, comma(builder, builder.call(item, behind))]));
  }
  // `behind` is what can come when `count` items have been read.
  for (count--; count >= 1; count--) {
    const more = comma(builder, builder.call(item, behind));
    behind = builder.split([count >= least ? close : FAIL, more]);
  }
  const items = most === 0 ? FAIL : builder.call(item, behind);
  return builder.literal('[', builder.split([least === 0 ? close : FAIL, items]));
}

/** Reads an array of exactly these items. */
export function tupleOf(builder: GrammarBuilder, items: readonly Reader[], next: NodeId): NodeId {
  const close = builder.literal(']', next);
  const all = items.reduceRight(
    (behind, item, index) => item(index === items.length - 1 ? behind : comma(builder, behind)),
    close,
  );
  return builder.literal('[', all);
}
