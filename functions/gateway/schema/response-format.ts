import { z } from 'zod';
import { compileSchema } from '../../../shared/constrained/compile-schema.ts';
import { SchemaError } from '../../../shared/constrained/schema-error.ts';
import type { JsonConstraint } from '../../../shared/protocol/request.ts';
import { unicodeText, withoutNulls } from './fields.ts';

type JsonSchema = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A JSON Schema that the pool can follow: it is compiled here too, so that the pool never meets a bad one. */
const jsonSchema = z.unknown().transform((schema, context): JsonSchema => {
  const refuse = (message: string): never => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  if (schema === undefined) return refuse('is required');
  if (!isObject(schema)) return refuse('must be a JSON Schema, which is an object');
  try {
    compileSchema(schema);
    return schema;
  } catch (error) {
    if (error instanceof SchemaError) return refuse(error.message);
    throw error;
  }
});

const namedSchema = z.object({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, underscores and dashes'),
  description: unicodeText.optional(),
  schema: jsonSchema.meta({ type: 'object', description: 'A JSON Schema.' }),
  // Answers fit the schema in any case.
  strict: z.boolean().optional(),
});

const text = z.object({ type: z.literal('text') });
const jsonObject = z.object({ type: z.literal('json_object') });
const WHICH_TYPE = {
  error: 'must be an object whose type is "text", "json_object" or "json_schema"',
};

/** What an answer must be: `response_format` of chat and text completions, where it asks for more than text. */
export const responseFormat = z
  .preprocess(
    withoutNulls,
    z.discriminatedUnion(
      'type',
      [
        text,
        jsonObject,
        z.object({
          type: z.literal('json_schema'),
          json_schema: z.preprocess(withoutNulls, namedSchema),
        }),
      ],
      WHICH_TYPE,
    ),
  )
  .transform((format): JsonConstraint | undefined => {
    switch (format.type) {
      case 'text':
        return undefined;
      case 'json_object':
        return { kind: 'json_object' };
      case 'json_schema':
        return { kind: 'json_schema', schema: format.json_schema.schema };
    }
  })
  .optional()
  .describe('Binds the answer to JSON, or to a JSON Schema.');

/** The same as the Responses API has it, at `text.format`: a schema's name stands beside its type. */
export const textFormat = z
  .preprocess(
    withoutNulls,
    z.discriminatedUnion(
      'type',
      [text, jsonObject, namedSchema.extend({ type: z.literal('json_schema') })],
      WHICH_TYPE,
    ),
  )
  .optional()
  .describe('Binds the answer to JSON, or to a JSON Schema.');

/** What such a format asks of the answer. */
export function constraintOf(format: z.infer<typeof textFormat>): JsonConstraint | undefined {
  if (format === undefined || format.type === 'text') return undefined;
  return format.type === 'json_object'
    ? { kind: 'json_object' }
    : { kind: 'json_schema', schema: format.schema };
}
