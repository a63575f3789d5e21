import { JanusError } from '../errors/janus-error.ts';
import type { Constraint } from '../protocol/request.ts';
import type { Grammar } from './grammar.ts';
import { MAX_SCHEMA_BYTES, MAX_SCHEMA_LEVELS } from './limits.ts';
import { SchemaCompiler } from './schema/schema-compiler.ts';
import { SchemaError } from './schema-error.ts';

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
  checkLevels(schema);
  const bytes = new TextEncoder().encode(JSON.stringify(schema) ?? '').length;
  if (bytes > MAX_SCHEMA_BYTES) {
    throw new SchemaError('#', null, `has ${bytes} bytes; at most ${MAX_SCHEMA_BYTES} are supported`);
  }
  return new SchemaCompiler(schema).compile();
}

/**
 * The grammar of what a request asks the answer to be.
 *
 * @throws SchemaError as `compileSchema`
 */
export function compileConstraint(constraint: Constraint): Grammar {
  switch (constraint.kind) {
    case 'json_object':
      return compileSchema({ type: 'object' });
    case 'json_schema':
      return compileSchema(constraint.schema);
    default:
      throw new JanusError(
        `constraint.kind is ${JSON.stringify(constraint)}: use json_object or json_schema.`,
      );
  }
}

/** Level by level: a schema that is nested too deeply would overflow the stack of whatever recurses through it. */
function checkLevels(schema: unknown): void {
  let level: unknown[] = [schema];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_SCHEMA_LEVELS) {
      const problem = `has more than ${MAX_SCHEMA_LEVELS} objects and lists inside each other, which is not supported`;
      throw new SchemaError('#', null, problem);
    }
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
}
