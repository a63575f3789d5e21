import { JanusError } from '../errors/janus-error.ts';
import type { Constraint, JsonConstraint } from '../protocol/request.ts';
import { compileToolCall } from './compile-tool-call.ts';
import type { Grammar } from './grammar.ts';
import { SchemaCompiler } from './schema/schema-compiler.ts';
import { checkSchemaSize } from './schema/schema-size.ts';

/**
 * The grammar of all JSON texts that fit a JSON Schema, in UTF-8, as a model is to write them:
 *
 * - Nothing stands around the value, and no white space in it but at most one space behind `:` and `,`.
 * - Properties come in the schema's order; those that are not required may be left out. An object with `properties` has
 *   additional ones only if `additionalProperties` says so.
 * - Names, values of `enum`, and strings with a `pattern` or `format` are spelled as `JSON.stringify` does; other strings may
 *   use any escape that names a character.
 * - Numbers have a bounded number of digits and magnitudes that JavaScript reads as finite; those with `minimum` and the like have
 *   no exponent.
 *
 * Supported is what OpenAI's structured outputs document and a little more; see keywords.ts.
 *
 * @param schema the schema as parsed JSON
 * @throws SchemaError that names the place and the keyword that is wrong or not supported
 */
export function compileSchema(schema: unknown): Grammar {
  checkSchemaSize(schema);
  return new SchemaCompiler(schema).compile();
}

const schemaOf = (constraint: JsonConstraint): unknown =>
  constraint.kind === 'json_object' ? { type: 'object' } : constraint.schema;

/**
 * The grammar of what a request asks the answer to be.
 *
 * @throws SchemaError as `compileSchema`
 * @throws ParametersError as `compileToolCall`
 */
export function compileConstraint(constraint: Constraint): Grammar {
  switch (constraint.kind) {
    case 'json_object':
    case 'json_schema':
      return compileSchema(schemaOf(constraint));
    case 'tool_call':
      return compileToolCall(constraint.functions, constraint.otherwise && schemaOf(constraint.otherwise));
    default:
      throw new JanusError(
        `constraint.kind is ${JSON.stringify(constraint)}: use json_object, json_schema or tool_call.`,
      );
  }
}
