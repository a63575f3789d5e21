import { type NodeId, RETURN } from '../grammar.ts';
import type { GrammarBuilder } from '../grammar-builder.ts';
import { arrayOf, objectOf, tupleOf } from '../json/containers.ts';
import { MAX_ENUM_VALUES } from '../limits.ts';
import { SchemaError } from '../schema-error.ts';
import { oneOf } from '../text/literals.ts';
import { countBounds } from './counts.ts';
import type { Fields, TypeName } from './keywords.ts';
import { type Compilation, type Place, within } from './place.ts';

export function arrayNode(compilation: Compilation, fields: Fields, place: Place, next: NodeId): NodeId {
  const { builder } = compilation;
  const count = countBounds(fields, ['minItems', 'maxItems'], place);
  const { items = true } = fields;
  const item = compilation.node(items, within(place, 'items'), RETURN);
  return arrayOf(builder, item, count, next);
}

/** One of some values: those of `enum`, or that of `const`, as far as they have one of `types`. */
export function enumNode(
  { builder }: Compilation,
  fields: Fields,
  types: readonly TypeName[] | null,
  place: Place,
  next: NodeId,
): NodeId {
  const keyword = Object.hasOwn(fields, 'const') ? 'const' : 'enum';
  const refuse = (problem: string): never => {
    throw new SchemaError(place.pointer, keyword, problem);
  };
  const values: unknown = keyword === 'const' ? [fields.const] : fields.enum;
  if (!Array.isArray(values) || values.length === 0 || values.length > MAX_ENUM_VALUES) {
    return refuse(`must be a list of 1 to ${MAX_ENUM_VALUES} values`);
  }
  const fitting = values.filter(
    (value: unknown) => types === null || types.some((type) => isOfType(value, type)),
  );
  if (fitting.length === 0) return refuse("has no value of the schema's 'type'");
  if (fitting.some(holdsInfinity)) return refuse('has a number that is too large for 64 bits');
  const texts = fitting.filter((value) => !isComposite(value)).map((value) => JSON.stringify(value));
  const composites = fitting.filter(isComposite);
  return builder.split([
    oneOf(builder, texts, next),
    ...composites.map((value) => valueNode(builder, value, next)),
  ]);
}

/** Reads exactly one value. Schemas have a bounded number of levels, and so has this recursion. */
function valueNode(builder: GrammarBuilder, value: unknown, next: NodeId): NodeId {
  const reader = (inner: unknown) => (behind: NodeId) => valueNode(builder, inner, behind);
  if (!isComposite(value)) return builder.literal(JSON.stringify(value), next);
  if (Array.isArray(value)) return tupleOf(builder, value.map(reader), next);
  const members = Object.entries(value).map(([name, inner]) => ({
    name,
    isRequired: true,
    value: reader(inner),
  }));
  return objectOf(builder, members, null, next);
}

const isComposite = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** JSON has no Infinity, but texts as 1e999 are read as it. */
const holdsInfinity = (value: unknown): boolean =>
  isComposite(value)
    ? Object.values(value).some(holdsInfinity)
    : typeof value === 'number' && !Number.isFinite(value);

function isOfType(value: unknown, type: TypeName): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isComposite(value) && !Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'string':
      return typeof value === 'string';
    case 'number':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
  }
}
