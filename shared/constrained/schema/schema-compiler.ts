import { FAIL, type Grammar, type NodeId, RETURN } from '../grammar.ts';
import { GrammarBuilder } from '../grammar-builder.ts';
import { JsonRules } from '../json/rules.ts';
import { MAX_NESTING, MAX_SCHEMA_DEPTH } from '../limits.ts';
import { SchemaError } from '../schema-error.ts';
import { effectiveKeywords, type Fields, TYPE_KEYWORDS, TYPES, type TypeName } from './keywords.ts';
import { objectNode } from './object-schema.ts';
import { type Compilation, type Place, ROOT, within } from './place.ts';
import { follow, type Referenced } from './reference.ts';
import { numberNode, stringNode } from './scalar-schema.ts';
import { arrayNode, enumNode } from './value-schema.ts';

/**
 * Compiles one schema. What a `$ref` leads to becomes a rule of its own, compiled once; all else is built in place. No rule
 * calls another one before it has read a byte, except as the last thing that it does, so no stack grows for nothing.
 */
export class SchemaCompiler implements Compilation {
  readonly builder: GrammarBuilder;
  readonly rules: JsonRules;
  readonly #root: unknown;
  readonly #referenced = new Map<string, NodeId>();
  readonly #pending: (Referenced & { readonly rule: NodeId })[] = [];

  /**
   * @param builder of the grammar that the schema is a part of
   * @param rules of the same builder
   */
  constructor(root: unknown, builder = new GrammarBuilder(), rules = new JsonRules(builder)) {
    this.#root = root;
    this.builder = builder;
    this.rules = rules;
  }

  /** @throws SchemaError also where no text fits */
  compile(): Grammar {
    const start = this.rule();
    const grammar = this.builder.build(start);
    checkNesting(grammar, start);
    return grammar;
  }

  /**
   * A rule that reads a value of the schema; whether any text fits tells `checkNesting` when the grammar is built.
   *
   * @throws SchemaError if the schema is wrong or asks for what is not supported
   */
  rule(): NodeId {
    const start = this.#rule({ schema: this.#root, pointer: ROOT.pointer });
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      this.builder.define(next.rule, this.node(next.schema, { pointer: next.pointer, depth: 0 }, RETURN));
    }
    return start;
  }

  node(schema: unknown, place: Place, next: NodeId): NodeId {
    if (place.depth > MAX_SCHEMA_DEPTH) {
      throw new SchemaError(
        place.pointer,
        null,
        `is the end of more than ${MAX_SCHEMA_DEPTH} schemas inside each other`,
      );
    }
    if (schema === false) return FAIL;
    if (schema === true) return this.builder.call(this.rules.value, next);
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      throw new SchemaError(place.pointer, null, 'must be an object, true or false');
    }
    const fields = schema as Fields;
    const keywords = effectiveKeywords(fields, place);
    if (keywords.includes('$ref')) {
      return this.builder.call(this.#rule(follow(this.#root, fields.$ref, place)), next);
    }
    if (keywords.includes('anyOf')) return this.#anyOf(fields.anyOf, place, next);
    if (keywords.includes('allOf')) return this.#allOf(fields.allOf, place, next);
    const types = typesOf(fields, place);
    if (keywords.includes('enum') || keywords.includes('const'))
      return enumNode(this, fields, types, place, next);
    const implied = types ?? impliedTypes(keywords);
    if (implied.length === 0) return this.builder.call(this.rules.value, next);
    return this.builder.split(implied.map((type) => this.#ofType(type, fields, place, next)));
  }

  #rule(referenced: Referenced): NodeId {
    const known = this.#referenced.get(referenced.pointer);
    if (known !== undefined) return known;
    const rule = this.builder.reserve();
    this.#referenced.set(referenced.pointer, rule);
    this.#pending.push({ ...referenced, rule });
    return rule;
  }

  #anyOf(options: unknown, place: Place, next: NodeId): NodeId {
    if (!Array.isArray(options) || options.length === 0) {
      throw new SchemaError(place.pointer, 'anyOf', 'must be a list of at least one schema');
    }
    return this.builder.split(
      options.map((option, index) => this.node(option, within(place, 'anyOf', String(index)), next)),
    );
  }

  /** Some libraries wrap a single `$ref` into it. */
  #allOf(parts: unknown, place: Place, next: NodeId): NodeId {
    if (!Array.isArray(parts) || parts.length !== 1) {
      throw new SchemaError(place.pointer, 'allOf', 'is supported with a single schema only');
    }
    return this.node(parts[0], within(place, 'allOf', '0'), next);
  }

  #ofType(type: TypeName, fields: Fields, place: Place, next: NodeId): NodeId {
    switch (type) {
      case 'object':
        return objectNode(this, fields, place, next);
      case 'array':
        return arrayNode(this, fields, place, next);
      case 'string':
        return stringNode(this, fields, place, next);
      case 'number':
      case 'integer':
        return numberNode(this, fields, type === 'integer', place, next);
      case 'boolean':
        return this.builder.split(['true', 'false'].map((text) => this.builder.literal(text, next)));
      case 'null':
        return this.builder.literal('null', next);
    }
  }
}

/**
 * @param around calls that are open where the rule is called
 * @throws SchemaError where no text fits a schema's rule
 */
export function checkNesting({ nesting }: Grammar, rule: NodeId, around = 0): void {
  if (around + nesting[rule] <= MAX_NESTING) return;
  const problem = `fits no value with at most ${MAX_NESTING} levels: look for properties that need themselves`;
  throw new SchemaError(ROOT.pointer, null, problem);
}

/** @returns null where no type is given */
function typesOf({ type }: Fields, place: Place): TypeName[] | null {
  if (type === undefined) return null;
  const names: unknown[] = Array.isArray(type) ? type : [type];
  const isType = (name: unknown): name is TypeName => typeof name === 'string' && TYPES.has(name);
  if (names.length > 0 && names.every(isType)) return [...new Set(names)];
  throw new SchemaError(place.pointer, 'type', `must be one or a list of ${[...TYPES].join(', ')}`);
}

/** The types that a schema without `type` speaks of; none: it takes any value. */
const impliedTypes = (keywords: readonly string[]): TypeName[] =>
  Object.entries(TYPE_KEYWORDS)
    .filter(([, own]) => own.some((keyword) => keywords.includes(keyword)))
    .map(([type]) => type as TypeName);
