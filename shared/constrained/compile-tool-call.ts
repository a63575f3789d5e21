import { JanusError } from '../errors/janus-error.ts';
import type { CallConstraint } from '../protocol/request.ts';
import { BEFORE_ARGUMENTS, BEFORE_NAME, BEHIND_ARGUMENTS } from '../protocol/tool-call-text.ts';
import { type Grammar, type NodeId, RETURN } from './grammar.ts';
import { GrammarBuilder } from './grammar-builder.ts';
import { JsonRules } from './json/rules.ts';
import { checkNesting, SchemaCompiler } from './schema/schema-compiler.ts';
import { checkSchemaSize } from './schema/schema-size.ts';
import { SchemaError } from './schema-error.ts';

/** A function whose parameters are no schema that could be followed. */
export class ParametersError extends JanusError {
  override readonly name: string = 'ParametersError';
  /** Position of the function among those given. */
  readonly position: number;

  constructor(position: number, cause: SchemaError) {
    super(cause.message, { cause });
    this.position = position;
  }
}

/**
 * The grammar of one call of one of some functions, in exactly the form of tool-call-text.ts. All of them together may be as
 * large as one schema may be.
 *
 * @param functions their names need no escapes
 * @param otherwise schema of what may stand in place of a call; undefined: nothing may
 * @throws ParametersError that says which function's parameters are wrong or not supported
 * @throws SchemaError as `compileSchema`, for `otherwise`
 */
export function compileToolCall(functions: CallConstraint['functions'], otherwise?: unknown): Grammar {
  const builder = new GrammarBuilder();
  const rules = new JsonRules(builder);
  const ruleOf = (schema: unknown): NodeId => {
    checkSchemaSize(schema);
    return new SchemaCompiler(schema, builder, rules).rule();
  };
  const parameters = functions.map((one, position) => ofFunction(position, () => ruleOf(one.parameters)));
  const end = builder.literal(BEHIND_ARGUMENTS, RETURN);
  const calls = functions.map(({ name }, position) =>
    builder.literal(name + BEFORE_ARGUMENTS, builder.call(parameters[position], end)),
  );
  const call = builder.literal(BEFORE_NAME, builder.split(calls));
  const instead = otherwise === undefined ? [] : [ruleOf(otherwise)];
  const grammar = builder.build(builder.split([call, ...instead]));
  for (const [position, rule] of parameters.entries()) {
    ofFunction(position, () => checkNesting(grammar, rule, 1));
  }
  for (const rule of instead) checkNesting(grammar, rule);
  return grammar;
}

/** Says of what is wrong whose parameters it is wrong with. */
function ofFunction<T>(position: number, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    throw error instanceof SchemaError ? new ParametersError(position, error) : error;
  }
}
