import type { NodeId } from '../grammar.ts';
import { nextDown, nextUp, rangeNode } from '../json/number-range.ts';
import { SchemaError, shownValue } from '../schema-error.ts';
import { FORMAT_PATTERNS } from '../text/formats.ts';
import { ownPattern, patternNode } from '../text/pattern.ts';
import { type Alternative, parsePattern } from '../text/pattern-parser.ts';
import { countBounds } from './counts.ts';
import type { Fields } from './keywords.ts';
import type { Compilation, Place } from './place.ts';

export function stringNode(compilation: Compilation, fields: Fields, place: Place, next: NodeId): NodeId {
  const { builder, rules } = compilation;
  const { least, most } = countBounds(fields, ['minLength', 'maxLength'], place);
  const isBounded = least > 0 || most !== Number.POSITIVE_INFINITY;
  const close = builder.literal('"', next);
  const pattern = patternOf(fields, place);
  if (pattern !== null) {
    const [keyword, alternatives] = pattern;
    if (!isBounded) return builder.literal('"', patternNode(builder, alternatives, close));
    const problem = "beside 'minLength' or 'maxLength' is not supported: say the length in a pattern";
    throw new SchemaError(place.pointer, keyword, problem);
  }
  if (!isBounded) return builder.call(rules.string, next);
  const character = (behind: NodeId): NodeId => builder.call(rules.character, behind);
  const isEndless = most === Number.POSITIVE_INFINITY;
  let node = isEndless ? builder.loop(character, close) : close;
  for (let i = isEndless ? 0 : most - least; i > 0; i--) node = builder.split([close, character(node)]);
  for (let i = least; i > 0; i--) node = character(node);
  return builder.literal('"', node);
}

/** The pattern of a string, and the keyword that asks for it. */
function patternOf(fields: Fields, { pointer }: Place): readonly [string, Alternative[]] | null {
  const { pattern, format } = fields;
  if (format !== undefined) {
    const known = typeof format === 'string' && Object.hasOwn(FORMAT_PATTERNS, format);
    if (!known) {
      const names = Object.keys(FORMAT_PATTERNS).join(', ');
      throw new SchemaError(pointer, 'format', `is ${shownValue(format)}; supported are ${names}`);
    }
    if (pattern !== undefined) throw new SchemaError(pointer, 'pattern', "beside 'format' is not supported");
    return ['format', ownPattern(FORMAT_PATTERNS[format])];
  }
  if (pattern === undefined) return null;
  const refuse = (problem: string): never => {
    throw new SchemaError(pointer, 'pattern', problem);
  };
  if (typeof pattern !== 'string') return refuse('must be a regular expression');
  return ['pattern', parsePattern(pattern, refuse)];
}

export function numberNode(
  { builder, rules }: Compilation,
  fields: Fields,
  isInteger: boolean,
  place: Place,
  next: NodeId,
): NodeId {
  const above = bound(fields, 'exclusiveMinimum', place);
  const below = bound(fields, 'exclusiveMaximum', place);
  const lowest = tightest([bound(fields, 'minimum', place), above === null ? null : nextUp(above)], Math.max);
  const highest = tightest(
    [bound(fields, 'maximum', place), below === null ? null : nextDown(below)],
    Math.min,
  );
  if (lowest === null && highest === null) {
    return builder.call(isInteger ? rules.integer : rules.number, next);
  }
  if (lowest !== null && highest !== null && lowest > highest) {
    throw new SchemaError(place.pointer, null, 'has bounds that no number fits');
  }
  const rounded = (value: number | null, round: (value: number) => number): number | null =>
    value === null || !isInteger ? value : round(value);
  return rangeNode(
    builder,
    { lowest: rounded(lowest, Math.ceil), highest: rounded(highest, Math.floor), isInteger },
    next,
  );
}

function bound(fields: Fields, keyword: string, { pointer }: Place): number | null {
  const value = fields[keyword];
  if (value === undefined) return null;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new SchemaError(pointer, keyword, 'must be a number');
}

function tightest(bounds: readonly (number | null)[], pick: (...values: number[]) => number): number | null {
  const given = bounds.filter((value) => value !== null);
  return given.length === 0 ? null : pick(...given);
}
