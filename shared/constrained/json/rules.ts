import { type NodeId, RETURN } from '../grammar.ts';
import type { GrammarBuilder } from '../grammar-builder.ts';
import { anyCharacterEdges, QUOTE } from '../text/character-edges.ts';
import { arrayOf, objectOf } from './containers.ts';
import { anyInteger, anyNumber } from './numbers.ts';

/** Rules that many places of a grammar call; each is built when the first one does. */
export class JsonRules {
  readonly #builder: GrammarBuilder;
  readonly #made = new Map<string, NodeId>();

  constructor(builder: GrammarBuilder) {
    this.#builder = builder;
  }

  /** One character of a string, in any form. */
  get character(): NodeId {
    const builder = this.#builder;
    return this.#rule('character', () => builder.bytes(anyCharacterEdges(builder, RETURN)));
  }

  get string(): NodeId {
    const builder = this.#builder;
    return this.#rule('string', () => {
      const inside = builder.reserve();
      const close = [QUOTE, QUOTE, RETURN] as const;
      builder.define(inside, builder.bytes([...anyCharacterEdges(builder, inside), close]));
      return builder.literal('"', inside);
    });
  }

  get integer(): NodeId {
    return this.#rule('integer', () => anyInteger(this.#builder, RETURN));
  }

  get number(): NodeId {
    return this.#rule('number', () => anyNumber(this.#builder, RETURN));
  }

  /** Any JSON value. */
  get value(): NodeId {
    const known = this.#made.get('value');
    if (known !== undefined) return known;
    const builder = this.#builder;
    const value = builder.reserve();
    this.#made.set('value', value);
    const members = {
      key: (next: NodeId) => builder.call(this.string, next),
      value: (next: NodeId) => builder.call(value, next),
    };
    const alternatives = [
      objectOf(builder, [], members, RETURN),
      arrayOf(builder, value, { least: 0, most: Number.POSITIVE_INFINITY }, RETURN),
      this.string,
      this.number,
      ...['true', 'false', 'null'].map((text) => builder.literal(text, RETURN)),
    ];
    builder.define(value, builder.split(alternatives));
    return value;
  }

  #rule(name: string, make: () => NodeId): NodeId {
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const made = make();
    this.#made.set(name, made);
    return made;
  }
}
