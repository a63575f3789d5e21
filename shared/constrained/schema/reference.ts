import { SchemaError, shownValue } from '../schema-error.ts';
import { type Place, pointerOf } from './place.ts';

/** A schema that a `$ref` leads to, with its own pointer. */
export interface Referenced {
  readonly schema: unknown;
  readonly pointer: string;
}

/** @throws SchemaError where `ref` is no pointer into `root`, or leads to nothing */
export function follow(root: unknown, ref: unknown, { pointer }: Place): Referenced {
  const tokens = tokensOf(ref);
  if (tokens === null) {
    const problem = `is ${shownValue(ref)}; supported are "#" and pointers into this schema, as "#/$defs/name"`;
    throw new SchemaError(pointer, '$ref', problem);
  }
  let schema = root;
  for (const token of tokens) {
    if (typeof schema !== 'object' || schema === null || !Object.hasOwn(schema, token)) {
      throw new SchemaError(pointer, '$ref', `is ${shownValue(ref)}, which leads to nothing`);
    }
    schema = (schema as Record<string, unknown>)[token];
  }
  return { schema, pointer: pointerOf(tokens) };
}

function tokensOf(ref: unknown): string[] | null {
  if (typeof ref !== 'string' || !(ref === '#' || ref.startsWith('#/'))) return null;
  try {
    const [, ...tokens] = decodeURIComponent(ref.slice(1)).split('/');
    return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  } catch {
    return null;
  }
}
