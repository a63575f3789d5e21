import type { Automaton, TextState } from '../../../shared/constrained/automaton.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { AllowedTokens } from '../sampling/allowed-tokens.ts';
import type { TokenMasks } from './token-masks.ts';

export interface ConstraintParts {
  readonly automaton: Automaton;
  readonly masks: TokenMasks;
  readonly tokenBytes: (id: number) => Uint8Array;
  /** The model's end-of-sequence ids. */
  readonly endIds: readonly number[];
  /** True: the answer ends only where nothing else can follow. */
  readonly ignoresEnd: boolean;
}

const NO_IDS: readonly number[] = [];

/** How far one answer has come in what it must be. */
export class AnswerConstraint {
  readonly #parts: ConstraintParts;
  #state: TextState;

  constructor(parts: ConstraintParts) {
    this.#parts = parts;
    this.#state = parts.automaton.start;
  }

  /** True where the answer is whole, nothing can follow, and the model has no token to say so. */
  get isOver(): boolean {
    return this.#state.complete && !this.#state.open && this.#parts.endIds.length === 0;
  }

  /**
   * The tokens that may come next; good until the next call.
   *
   * @throws JanusError where the vocabulary has no token that could
   */
  allowed(): AllowedTokens {
    const { automaton, masks, endIds, ignoresEnd } = this.#parts;
    const { words, count } = masks.of(automaton, this.#state);
    const mayEnd = this.#state.complete && !(ignoresEnd && count > 0);
    if (count === 0 && !(mayEnd && endIds.length > 0)) {
      throw new JanusError(
        "No token of the model's vocabulary can go on with the answer that response_format or tool_choice asks for: ask for another form, or " +
          'serve a model whose tokens include all single bytes.',
      );
    }
    return { words, endIds: mayEnd ? endIds : NO_IDS };
  }

  /**
   * Takes the next token of the answer.
   *
   * @throws JanusError where it was not allowed, as in an answer begun under another constraint
   */
  accept(id: number): void {
    const { automaton, tokenBytes, endIds } = this.#parts;
    if (this.#state.complete && endIds.includes(id)) return;
    const bytes = tokenBytes(id);
    const reached = bytes.length === 0 ? null : automaton.read(this.#state, bytes);
    if (reached === null) {
      throw new JanusError(
        `Token ${id} of the answer does not fit response_format or tool_choice: send the request again.`,
      );
    }
    this.#state = reached;
  }
}
