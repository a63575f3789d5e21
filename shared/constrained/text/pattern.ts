import { type NodeId, RETURN } from '../grammar.ts';
import type { GrammarBuilder } from '../grammar-builder.ts';
import { characterEdges } from './character-edges.ts';
import { ANY_CHARACTER, type CharacterSet } from './character-set.ts';
import { type Alternative, type Pattern, parsePattern } from './pattern-parser.ts';

const FIRST_BEYOND_ASCII = 0x80;

/**
 * Reads the inside of a JSON string that a pattern matches. As in JSON Schema, anything may stand around the match, but for
 * `^` and `$`. Characters come in the form in which `JSON.stringify` writes them.
 */
export function patternNode(
  builder: GrammarBuilder,
  alternatives: readonly Alternative[],
  next: NodeId,
): NodeId {
  const compiler = new PatternCompiler(builder);
  return builder.split(
    alternatives.map(({ body, fromStart, toEnd }) => {
      const match = compiler.part(body, toEnd ? next : anything(builder, next));
      return fromStart ? match : anything(builder, match);
    }),
  );
}

/** Any characters, each in the form in which `JSON.stringify` writes it. */
export const anything = (builder: GrammarBuilder, next: NodeId): NodeId =>
  builder.loop((again) => builder.bytes(characterEdges(builder, ANY_CHARACTER, again)), next);

/** Parses a pattern of ours, of which all is supported. */
export const ownPattern = (source: string): Alternative[] =>
  parsePattern(source, (problem) => {
    throw new Error(`The pattern ${source} ${problem}`);
  });

class PatternCompiler {
  readonly #builder: GrammarBuilder;
  /** Rules that read one character, so that repeating a large set costs one node each time. */
  readonly #rules = new Map<CharacterSet, NodeId>();

  constructor(builder: GrammarBuilder) {
    this.#builder = builder;
  }

  part(part: Pattern, next: NodeId): NodeId {
    // Empty parts make no nodes, but are repeated like others.
    this.#builder.spend(1);
    switch (part.kind) {
      case 'character':
        return this.#character(part.set, next);
      case 'sequence':
        return part.parts.reduceRight((node, inner) => this.part(inner, node), next);
      case 'choice':
        return this.#builder.split(part.options.map((option) => this.part(option, next)));
      case 'repeat':
        return this.#repeat(part, next);
    }
  }

  #character(set: CharacterSet, next: NodeId): NodeId {
    const builder = this.#builder;
    if (set.every(([, last]) => last < FIRST_BEYOND_ASCII)) {
      return builder.bytes(characterEdges(builder, set, next));
    }
    let rule = this.#rules.get(set);
    if (rule === undefined) {
      rule = builder.bytes(characterEdges(builder, set, RETURN));
      this.#rules.set(set, rule);
    }
    return builder.call(rule, next);
  }

  #repeat({ body, least, most }: Extract<Pattern, { kind: 'repeat' }>, next: NodeId): NodeId {
    const builder = this.#builder;
    const once = (node: NodeId): NodeId => this.part(body, node);
    const isEndless = most === Number.POSITIVE_INFINITY;
    let node = isEndless ? builder.loop(once, next) : next;
    if (!isEndless) node = repeatedly(most - least, (inner) => builder.split([once(inner), next]), node);
    return repeatedly(least, once, node);
  }
}

/** Applies `step` so many times; where it changes nothing, it never will. */
function repeatedly(times: number, step: (node: NodeId) => NodeId, start: NodeId): NodeId {
  let node = start;
  for (let i = 0; i < times; i++) {
    const reached = step(node);
    if (reached === node) break;
    node = reached;
  }
  return node;
}
