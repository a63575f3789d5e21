import { z } from 'zod';
import { compileToolCall, ParametersError } from '../../../shared/constrained/compile-tool-call.ts';
import { MAX_TOOLS } from './field-limits.ts';
import { listOf, unicodeText, withoutNulls } from './fields.ts';

type JsonSchema = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const functionName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, underscores and dashes');

export const FUNCTION_ONLY = { error: 'must be "function": no other tools are supported' };

/** As with OpenAI, a function of whose parameters nothing is said has none. */
const NO_PARAMETERS: JsonSchema = { type: 'object', properties: {} };

const parameters = z
  .unknown()
  .transform((schema, context): JsonSchema => {
    const refuse = (message: string): never => {
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    };
    if (!isObject(schema)) return refuse('must be a JSON Schema, which is an object');
    if (Object.keys(schema).length === 0) return NO_PARAMETERS;
    return schema.type === 'object' ? schema : refuse('must have the "type" "object"');
  })
  .default(NO_PARAMETERS);

const functionFields = z.object({
  name: functionName,
  description: unicodeText.optional(),
  parameters: parameters.meta({ type: 'object', description: 'A JSON Schema of the arguments.' }),
  // Where a call is forced it fits the parameters in any case; where it is not, nothing is promised.
  strict: z.boolean().optional(),
});

/** A function as either API describes it. */
export type DescribedFunction = z.infer<typeof functionFields>;

/**
 * All functions of a request. Their parameters are compiled here too, so that the pool never meets any that it cannot follow.
 *
 * @param within where in an element the function's fields stand
 */
const functionList = (tool: z.ZodType<DescribedFunction>, within: readonly string[]) =>
  listOf(tool, MAX_TOOLS).transform((functions, context) => {
    const refuse = (position: number, field: string, message: string): never => {
      context.addIssue({ code: 'custom', message, path: [position, ...within, field] });
      return z.NEVER;
    };
    const names = functions.map(({ name }) => name);
    const repeated = names.findIndex((name, position) => names.indexOf(name) < position);
    if (repeated >= 0) return refuse(repeated, 'name', 'is the name of another tool too');
    if (functions.length === 0) return functions;
    try {
      compileToolCall(functions);
      return functions;
    } catch (error) {
      if (!(error instanceof ParametersError)) throw error;
      return refuse(error.position, 'parameters', error.message);
    }
  });

/** What the document of the API tells. */
const TOOLS = 'Functions that the model may call.';
const CHOICE = 'Whether the answer must call a tool, may, or must not; or the tool that it must call.';

/** `tools` of a chat completion. */
export const chatTools = functionList(
  z
    .preprocess(
      withoutNulls,
      z.object({
        type: z.literal('function', FUNCTION_ONLY),
        function: z.preprocess(withoutNulls, functionFields),
      }),
    )
    .transform((tool) => tool.function),
  ['function'],
)
  .default([])
  .describe(TOOLS);

/** `tools` of the Responses API: a function's fields stand beside the type. */
export const responseTools = functionList(
  z.preprocess(
    withoutNulls,
    z.object({ type: z.literal('function', FUNCTION_ONLY), ...functionFields.shape }),
  ),
  [],
)
  .default([])
  .describe(TOOLS);

/** Which of the tools the answer has to call. */
export type ToolChoice = 'none' | 'auto' | 'required' | { readonly name: string };

const mode = z.enum(['none', 'auto', 'required']);
const functionType = z.literal('function');

/** `tool_choice` of a chat completion. */
export const chatToolChoice = z
  .union(
    [
      mode,
      z
        .object({ type: functionType, function: z.object({ name: z.string() }) })
        .transform((choice): ToolChoice => choice.function),
    ],
    { error: 'must be "none", "auto", "required" or {"type": "function", "function": {"name": "…"}}' },
  )
  .optional()
  .describe(CHOICE);

/** `tool_choice` of the Responses API. */
export const responseToolChoice = z
  .union([mode, z.object({ type: functionType, name: z.string() })], {
    error: 'must be "none", "auto", "required" or {"type": "function", "name": "…"}',
  })
  .optional()
  .describe(CHOICE);

export const parallelToolCalls = z
  .boolean()
  .default(true)
  .describe('Whether an answer may call several tools.');
