import { z } from 'zod';

export type JsonSchema = z.core.JSONSchema.JSONSchema;

/** Every whole number of zod's lies within these bounds, so they tell nothing. */
const isSafeBound = (bound: unknown): boolean =>
  bound === Number.MAX_SAFE_INTEGER || bound === Number.MIN_SAFE_INTEGER;

/** JSON Schema of what a client may send for `schema`, before defaults and transformations. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...own } = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      if (isSafeBound(jsonSchema.maximum)) delete jsonSchema.maximum;
      if (isSafeBound(jsonSchema.minimum)) delete jsonSchema.minimum;
    },
  });
  return own;
}
