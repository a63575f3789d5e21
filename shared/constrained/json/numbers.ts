import type { NodeId } from '../grammar.ts';
import type { GrammarBuilder } from '../grammar-builder.ts';
import { MAX_FRACTION_DIGITS, MAX_INTEGER_DIGITS } from '../limits.ts';
import { ownPattern, patternNode } from '../text/pattern.ts';

const INTEGER = `-?(?:0|[1-9]\\d{0,${MAX_INTEGER_DIGITS - 1}})`;
const FRACTION = `\\.\\d{1,${MAX_FRACTION_DIGITS}}`;
/** Below the largest number of 64 bits whatever digits come before, so that nothing is read as Infinity. */
const EXPONENT =
  '[eE](?:\\+?(?:\\d|[1-9]\\d|[12]\\d\\d|30[0-7])|-(?:\\d|[1-9]\\d|[12]\\d\\d|3[01]\\d|32[0-4]))';

const integerPattern = ownPattern(`^${INTEGER}$`);
const numberPattern = ownPattern(`^(?:${INTEGER}(?:${FRACTION})?|-?\\d(?:${FRACTION})?${EXPONENT})$`);

/**
 * Reads any whole number, without fraction and exponent. Like all numbers here it has a bounded number of digits: a model
 * must not write digits for ever.
 */
export const anyInteger = (builder: GrammarBuilder, next: NodeId): NodeId =>
  patternNode(builder, integerPattern, next);

/** Reads any number; one with an exponent has a single digit before the point, as JavaScript writes it. */
export const anyNumber = (builder: GrammarBuilder, next: NodeId): NodeId =>
  patternNode(builder, numberPattern, next);
