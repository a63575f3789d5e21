import { MAX_SCHEMA_BYTES, MAX_SCHEMA_LEVELS } from '../limits.ts';
import { SchemaError } from '../schema-error.ts';

/** @throws SchemaError where a schema is too large, or nested too deeply, to be compiled */
export function checkSchemaSize(schema: unknown): void {
  if (isDeeperThan(schema, MAX_SCHEMA_LEVELS)) {
    const problem = `has more than ${MAX_SCHEMA_LEVELS} objects and lists inside each other, which is not supported`;
    throw new SchemaError('#', null, problem);
  }
  const bytes = new TextEncoder().encode(JSON.stringify(schema) ?? '').length;
  if (bytes > MAX_SCHEMA_BYTES) {
    throw new SchemaError('#', null, `has ${bytes} bytes; at most ${MAX_SCHEMA_BYTES} are supported`);
  }
}

/** Level by level: JSON that is nested too deeply would overflow the stack of whatever recurses through it. */
export function isDeeperThan(json: unknown, levels: number): boolean {
  let level: unknown[] = [json];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > levels) return true;
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
  return false;
}
