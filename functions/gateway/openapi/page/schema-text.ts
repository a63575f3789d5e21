import type { JsonSchema } from '../../schema/input-schema.ts';

/** Fields inside fields that the page shows; what lies deeper is told by its type alone. */
const MAX_DEPTH = 4;

/** One row of a table of fields. */
export interface FieldRow {
  /** Its address: `messages[].content`. */
  readonly name: string;
  readonly type: string;
  readonly isRequired: boolean;
  /** JSON; absent where there is none. */
  readonly byDefault?: string;
  readonly description: string;
}

type Place = NonNullable<JsonSchema['items'] | JsonSchema['additionalProperties']>;

/** A schema where the format has it; what may be anything is an empty one. */
const schemaOf = (place: Place | undefined): JsonSchema =>
  typeof place === 'object' && !Array.isArray(place) ? place : {};

const choicesOf = ({ anyOf, oneOf }: JsonSchema): readonly JsonSchema[] => anyOf ?? oneOf ?? [];

function boundsText({ minimum, exclusiveMinimum, maximum }: JsonSchema): string {
  const least = minimum ?? exclusiveMinimum;
  const from = least === undefined ? '' : ` ${minimum === undefined ? 'above' : 'from'} ${least}`;
  return from + (maximum === undefined ? '' : ` to ${maximum}`);
}

function listText({ items, maxItems }: JsonSchema): string {
  const most = maxItems === undefined ? '' : ` (at most ${maxItems})`;
  const each = typeText(schemaOf(items));
  return `list of ${each.includes(' | ') ? `(${each})` : each}${most}`;
}

function objectText({ additionalProperties }: JsonSchema): string {
  const values = schemaOf(additionalProperties);
  return Object.keys(values).length === 0 ? 'object' : `object of ${typeText(values)}`;
}

/** What a value may be, in words. */
export function typeText(schema: JsonSchema): string {
  if (schema.$ref !== undefined) return schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const choices = choicesOf(schema);
  if (choices.length > 0) return [...new Set(choices.map(typeText))].join(' | ');
  if (Array.isArray(schema.type)) return schema.type.join(' | ');
  if (schema.type === 'array') return listText(schema);
  if (schema.type === 'object') return objectText(schema);
  return (schema.type ?? 'anything') + boundsText(schema);
}

/** Fields of a schema and of those inside it, each once. */
export function fieldRows(schema: JsonSchema, prefix = '', depth = 0): FieldRow[] {
  if (depth === MAX_DEPTH) return [];
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, given]): FieldRow[] => {
    const field = schemaOf(given);
    const address = prefix + name;
    const row: FieldRow = {
      name: address,
      type: typeText(field),
      isRequired: schema.required?.includes(name) ?? false,
      ...(field.default !== undefined && { byDefault: JSON.stringify(field.default) }),
      description: field.description ?? '',
    };
    return [row, ...fieldRows(field, `${address}.`, depth + 1)];
  });
  const inside = choicesOf(schema).flatMap((choice) => fieldRows(choice, prefix, depth));
  const listed =
    schema.type === 'array'
      ? fieldRows(schemaOf(schema.items), `${prefix.replace(/\.$/, '')}[].`, depth)
      : [];
  return joined([...own, ...inside, ...listed]);
}

/** One row per field: alternatives may have fields of the same name. */
function joined(rows: readonly FieldRow[]): FieldRow[] {
  const byName = new Map<string, FieldRow>();
  for (const row of rows) {
    const known = byName.get(row.name);
    const types = known === undefined ? [row.type] : [...known.type.split(' | '), row.type];
    const isRequired = row.isRequired && (known?.isRequired ?? true);
    byName.set(row.name, { ...row, ...known, type: [...new Set(types)].join(' | '), isRequired });
  }
  return [...byName.values()];
}
