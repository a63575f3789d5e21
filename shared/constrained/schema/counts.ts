import { MAX_REPETITIONS } from '../limits.ts';
import { SchemaError } from '../schema-error.ts';
import type { Fields } from './keywords.ts';
import type { Place } from './place.ts';

/** @throws SchemaError unless the keyword is absent or a whole number from 0 to `MAX_REPETITIONS` */
function count(fields: Fields, keyword: string, place: Place, absent: number): number {
  const value = fields[keyword];
  if (value === undefined) return absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_REPETITIONS) {
    return value;
  }
  throw new SchemaError(
    place.pointer,
    keyword,
    `must be a whole number from 0 to ${MAX_REPETITIONS}, which is the largest supported`,
  );
}

/** Two keywords that bound a number of items or characters. */
export function countBounds(
  fields: Fields,
  [lower, upper]: readonly [string, string],
  place: Place,
): { least: number; most: number } {
  const least = count(fields, lower, place, 0);
  const most = count(fields, upper, place, Number.POSITIVE_INFINITY);
  if (least > most) throw new SchemaError(place.pointer, lower, `is ${least}, more than '${upper}', ${most}`);
  return { least, most };
}
