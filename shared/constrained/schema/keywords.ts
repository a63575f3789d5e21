import { SchemaError } from '../schema-error.ts';
import type { Place } from './place.ts';

export type TypeName = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

/** Keywords that say something about values of one kind only, by the type that they imply where none is given. */
export const TYPE_KEYWORDS: Readonly<Partial<Record<TypeName, readonly string[]>>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
};

/** Keywords that give a schema its form; at most one of them, with nothing but what the list says beside it. */
const FORMS: Readonly<Record<string, readonly string[]>> = {
  $ref: [],
  anyOf: [],
  allOf: [],
  const: ['type'],
  enum: ['type'],
};

/** Keywords that change nothing. */
const IGNORED = new Set([
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
  '$schema',
  '$defs',
  'definitions',
]);

const SUPPORTED = ['type', ...Object.keys(FORMS), ...Object.values(TYPE_KEYWORDS).flat()];
const supported = new Set(SUPPORTED);

export const TYPES: ReadonlySet<string> = new Set<TypeName>([
  'object',
  'array',
  'string',
  'number',
  'integer',
  'boolean',
  'null',
]);

export type Fields = Readonly<Record<string, unknown>>;

/**
 * @returns the keywords of a schema that say which values fit it
 * @throws SchemaError at the first keyword that is not supported, or not beside another one
 */
export function effectiveKeywords(fields: Fields, place: Place): string[] {
  // `$id` says from where references start, and references here stay within one schema.
  const isIgnored = (keyword: string) => IGNORED.has(keyword) || (keyword === '$id' && place.pointer === '#');
  const keywords = Object.keys(fields).filter((keyword) => !isIgnored(keyword));
  const unknown = keywords.find((keyword) => !supported.has(keyword));
  if (unknown !== undefined) {
    throw new SchemaError(place.pointer, unknown, `is not supported; supported are ${SUPPORTED.join(', ')}`);
  }
  const form = keywords.find((keyword) => Object.hasOwn(FORMS, keyword));
  if (form === undefined) return keywords;
  const beside = keywords.find((keyword) => keyword !== form && !FORMS[form].includes(keyword));
  if (beside !== undefined) {
    throw new SchemaError(place.pointer, beside, `beside '${form}' is not supported: give only one of them`);
  }
  return keywords;
}
