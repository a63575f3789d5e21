import { Automaton } from '../../../shared/constrained/automaton.ts';
import { compileConstraint } from '../../../shared/constrained/compile-schema.ts';
import type { Constraint } from '../../../shared/protocol/request.ts';
import { AnswerConstraint } from './answer-constraint.ts';
import { TokenMasks } from './token-masks.ts';

/** Constraints whose automata are kept. */
const MAX_AUTOMATA = 16;
const NO_BYTES = new Uint8Array();

/** The tokens of a model as constraints see them. */
export interface ConstraintVocabulary {
  /** Rows of the model's logits. */
  readonly size: number;
  readonly endIds: readonly number[];
  readonly tokenBytes: (id: number) => Uint8Array;
  readonly isSpecial: (id: number) => boolean;
}

/** Makes the constraints of answers of one model. What they share is built when the first one needs it. */
export class ConstraintFactory {
  readonly #vocabulary: ConstraintVocabulary;
  #masks: TokenMasks | undefined;
  /** By constraint, the least recently used one first. */
  readonly #automata = new Map<string, Automaton>();

  constructor(vocabulary: ConstraintVocabulary) {
    this.#vocabulary = vocabulary;
  }

  /**
   * @param ignoresEnd true: the answer ends only where nothing else can follow
   * @throws SchemaError or ParametersError if a schema is wrong or not supported
   */
  create(constraint: Constraint, ignoresEnd: boolean): AnswerConstraint {
    const { endIds } = this.#vocabulary;
    const automaton = this.#automaton(constraint);
    this.#masks ??= new TokenMasks({
      size: this.#vocabulary.size,
      bytesOf: (id) => this.#textBytes(id),
    });
    const tokenBytes = (id: number) => this.#textBytes(id);
    return new AnswerConstraint({ automaton, masks: this.#masks, tokenBytes, endIds, ignoresEnd });
  }

  /** Tokens that are no text have no bytes: they are never allowed. */
  #textBytes(id: number): Uint8Array {
    const { tokenBytes, isSpecial, endIds } = this.#vocabulary;
    return isSpecial(id) || endIds.includes(id) ? NO_BYTES : tokenBytes(id);
  }

  #automaton(constraint: Constraint): Automaton {
    const key = JSON.stringify(constraint);
    const known = this.#automata.get(key);
    const automaton = known ?? new Automaton(compileConstraint(constraint));
    this.#automata.delete(key);
    this.#automata.set(key, automaton);
    if (this.#automata.size > MAX_AUTOMATA) this.#automata.delete(this.#automata.keys().next().value!);
    return automaton;
  }
}
