import type { NodeId } from '../grammar.ts';
import type { GrammarBuilder } from '../grammar-builder.ts';
import type { JsonRules } from '../json/rules.ts';

/** Where in a schema something stands. */
export interface Place {
  /** JSON pointer as a URI fragment. */
  readonly pointer: string;
  /** Schemas around it. */
  readonly depth: number;
}

/** What the parts of the compiler share. */
export interface Compilation {
  readonly builder: GrammarBuilder;
  readonly rules: JsonRules;
  /**
   * A node that reads a value of a schema and goes on at `next`.
   *
   * @throws SchemaError if the schema is wrong or asks for what is not supported
   */
  node(schema: unknown, place: Place, next: NodeId): NodeId;
}

export const ROOT: Place = { pointer: '#', depth: 0 };

const escaped = (token: string): string => token.replaceAll('~', '~0').replaceAll('/', '~1');

export const pointerOf = (tokens: readonly string[]): string => ['#', ...tokens.map(escaped)].join('/');

export const within = ({ pointer, depth }: Place, ...tokens: readonly string[]): Place => ({
  pointer: [pointer, ...tokens.map(escaped)].join('/'),
  depth: depth + 1,
});
