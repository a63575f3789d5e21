import { z } from 'zod';
import { JanusError } from '../errors/janus-error.ts';

/** No size in a model is larger than this; it keeps a damaged file from asking for absurd amounts of memory. */
const MAX_SIZE = 2 ** 24;
const MAX_REPORTED_ISSUES = 5;
const MAX_SHOWN_CHARACTERS = 60;

export const positiveInteger = z
  .int({ error: 'must be a positive integer' })
  .positive({ error: 'must be a positive integer' })
  .max(MAX_SIZE, { error: `must not be larger than ${MAX_SIZE}` });

export const isTokenId = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_SIZE;

export const tokenId = z.custom<number>(isTokenId, { error: `must be a token id from 0 to ${MAX_SIZE}` });

export const positiveNumber = z
  .number({ error: 'must be a positive number' })
  .positive({ error: 'must be a positive number' });

export const flag = z.boolean({ error: 'must be true or false' });

/** A field that may be absent, `null` or `value`: anything else asks for something that is not implemented. */
export const onlySupported = <T extends boolean | number | string>(value: T) =>
  z
    .literal(value, { error: `must be ${JSON.stringify(value)}: nothing else is supported yet` })
    .nullish()
    .transform(() => value);

/**
 * Checks a value that was read from a JSON file.
 *
 * @param source name of the file, with which the error begins
 * @throws JanusError that names the fields, what they must be and what they are
 */
export function parseFields<S extends z.ZodType>(schema: S, value: unknown, source: string): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issues = result.error.issues.slice(0, MAX_REPORTED_ISSUES);
  throw new JanusError(`${source}: ${issues.map(describeIssue).join('; ')}`);
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const field = issue.path.length === 0 ? 'the file' : issue.path.join('.');
  const found = issue.input === undefined ? 'it is missing' : `it is ${shorten(JSON.stringify(issue.input))}`;
  return `${field} ${issue.message} (${found})`;
}

const shorten = (text: string): string =>
  text.length <= MAX_SHOWN_CHARACTERS ? text : `${text.slice(0, MAX_SHOWN_CHARACTERS)}…`;
