import { z } from 'zod';
import { MAX_METADATA } from './field-limits.ts';
import { parseWith } from './fields.ts';
import { inputSchema } from './input-schema.ts';

/**
 * `metadata`: a few names with texts. Like a list it stops at the first entry that is bad, so that a thousand of them cost one
 * issue.
 */
export const metadataOf = (name: z.ZodType<string>, text: z.ZodType<string>) =>
  z
    .record(z.string(), z.unknown())
    .transform((pairs, context): Record<string, string> => {
      const entries = Object.entries(pairs);
      if (entries.length > MAX_METADATA) {
        context.addIssue({ code: 'custom', message: `must have at most ${MAX_METADATA} entries` });
        return z.NEVER;
      }
      const parsed: [string, string][] = [];
      for (const [key, value] of entries) {
        parsed.push([parseWith(name, key, context, [key]), parseWith(text, value, context, [key])]);
        if (context.issues.length > 0) return z.NEVER;
      }
      return Object.fromEntries(parsed);
    })
    .meta({
      get additionalProperties() {
        return inputSchema(text);
      },
      maxProperties: MAX_METADATA,
    });
