import type { NodeId } from '../grammar.ts';
import type { ByteEdge, GrammarBuilder } from '../grammar-builder.ts';
import { type FreeMembers, type Member, objectOf } from '../json/containers.ts';
import { MAX_NAME_LENGTH, MAX_PROPERTIES } from '../limits.ts';
import { SchemaError, shownValue } from '../schema-error.ts';
import { characterEdges, QUOTE } from '../text/character-edges.ts';
import { characterSet, complement } from '../text/character-set.ts';
import { anything } from '../text/pattern.ts';
import type { Fields } from './keywords.ts';
import { type Compilation, type Place, within } from './place.ts';

/**
 * Objects: the properties in the schema's order, then additional ones. An object that has `properties` and says nothing
 * of additional ones has none, as whoever writes such a schema means it; one without `properties` is free.
 */
export function objectNode(compilation: Compilation, fields: Fields, place: Place, next: NodeId): NodeId {
  const { properties } = fields;
  const { additionalProperties = properties === undefined } = fields;
  const required = requiredNames(fields, place);
  const declared = Object.entries(propertySchemas(properties, place));
  const members = declared.map(
    ([name, schema]): Member => ({
      name,
      isRequired: required.has(name),
      value: (end) => compilation.node(schema, within(place, 'properties', name), end),
    }),
  );
  const additionalPlace = within(place, 'additionalProperties');
  const value = (end: NodeId): NodeId => compilation.node(additionalProperties, additionalPlace, end);
  const names = new Set(declared.map(([name]) => name));
  for (const name of required) {
    if (names.has(name)) continue;
    if (additionalProperties === false) {
      const problem = `names ${shownValue(name)}, which is not among the properties: declare it, or allow additional ones`;
      throw new SchemaError(place.pointer, 'required', problem);
    }
    names.add(name);
    members.push({ name, isRequired: true, value });
  }
  checkNames(names, place);
  const { builder, rules } = compilation;
  const key = (end: NodeId): NodeId =>
    names.size === 0 ? builder.call(rules.string, end) : otherName(builder, [...names], end);
  const free: FreeMembers | null = additionalProperties === false ? null : { key, value };
  return objectOf(builder, members, free, next);
}

function propertySchemas(properties: unknown, { pointer }: Place): object {
  if (properties === undefined) return {};
  if (typeof properties === 'object' && properties !== null && !Array.isArray(properties)) return properties;
  throw new SchemaError(pointer, 'properties', 'must map names to schemas');
}

function requiredNames({ required = [] }: Fields, { pointer }: Place): Set<string> {
  if (Array.isArray(required) && required.every((name): name is string => typeof name === 'string')) {
    return new Set(required);
  }
  throw new SchemaError(pointer, 'required', 'must be a list of names');
}

function checkNames(names: ReadonlySet<string>, { pointer }: Place): void {
  if (names.size > MAX_PROPERTIES) {
    throw new SchemaError(
      pointer,
      'properties',
      `has ${names.size} names; at most ${MAX_PROPERTIES} are supported`,
    );
  }
  for (const name of names) {
    if (name.length <= MAX_NAME_LENGTH) continue;
    const problem = `has the name ${shownValue(name)}; at most ${MAX_NAME_LENGTH} characters are supported`;
    throw new SchemaError(pointer, 'properties', problem);
  }
}

/**
 * Reads any name but `names`, with its quotes: a second value for one of them would take the place of the first, whatever it
 * is. A name comes in one form only, that of `JSON.stringify`, so that no other spelling of it slips through.
 */
function otherName(builder: GrammarBuilder, names: readonly string[], next: NodeId): NodeId {
  const close: ByteEdge = [QUOTE, QUOTE, next];
  const anyEnd = anything(builder, builder.bytes([close]));
  /** Reads what follows the first `length` characters that all of `begun` have in common. */
  const behind = (begun: readonly (readonly string[])[], length: number): NodeId => {
    const byCharacter = Map.groupBy(
      begun.filter((name) => name.length > length),
      (name) => name[length],
    );
    const taken = [...byCharacter.keys()].map((character) =>
      characterSet([[code(character), code(character)]]),
    );
    const edges = [...byCharacter.values()].flatMap((group, index) =>
      characterEdges(builder, taken[index], behind(group, length + 1)),
    );
    const others = characterEdges(builder, complement(characterSet(taken.flat())), anyEnd);
    const isName = begun.some((name) => name.length === length);
    return builder.bytes([...edges, ...others, ...(isName ? [] : [close])]);
  };
  return builder.literal(
    '"',
    behind(
      names.map((name) => [...name]),
      0,
    ),
  );
}

const code = (character: string): number => character.codePointAt(0)!;
