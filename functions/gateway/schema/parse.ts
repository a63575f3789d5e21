import type { z } from 'zod';
import { invalid, shown } from '../errors.ts';
import { withoutNulls } from './fields.ts';
import { type Unsupported, unsupportedField } from './unsupported.ts';

/** A field's address as OpenAI writes it: `messages[0].content`. */
const paramOf = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((param, part) => {
    if (typeof part === 'number') return `${param}[${part}]`;
    return param === '' ? shown(String(part)) : `${param}.${shown(String(part))}`;
  }, '');

const wording = (message: string): string =>
  message
    .replace(/^Invalid input: expected .*, received undefined$/, 'is required')
    .replace(/^Invalid input: /, '');

/**
 * @param unsupported fields of this kind of request that are not supported, beside those of all kinds
 * @returns the fields that `schema` knows, with its defaults
 * @throws {RequestError} 400, naming the first field that is wrong or that asks for what is not supported
 */
export function parseFields<T>(
  schema: z.ZodType<T>,
  body: unknown,
  unsupported: readonly Unsupported[] = [],
): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid(null, 'The request body must be a JSON object');
  }
  const fields = withoutNulls(body) as Record<string, unknown>;
  const refused = unsupportedField(fields, unsupported);
  if (refused !== undefined) throw refused;
  const result = schema.safeParse(fields);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  const param = paramOf(path);
  throw invalid(param, `Invalid '${param}': ${wording(message)}`);
}
