import type { ModelConfig } from '../../shared/model/config.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import { IncrementalDetokenizer } from '../tokenizer/incremental-detokenizer.ts';
import type { ModelTokenizer } from '../tokenizer/model-tokenizer.ts';
import { ConstraintFactory } from './constrained/constraint-factory.ts';
import { Sampler, SamplingScratch } from './sampling/sampler.ts';
import { Sequence, type SequenceStart } from './sequence.ts';
import { StopMatcher } from './stop-matcher.ts';

/** Makes sequences of one model. */
export class SequenceFactory {
  readonly config: ModelConfig;
  readonly tokenizer: ModelTokenizer;
  readonly #scratch: SamplingScratch;
  readonly #constraints: ConstraintFactory;
  readonly #decoder = new TextDecoder();

  constructor(config: ModelConfig, tokenizer: ModelTokenizer) {
    this.config = config;
    this.tokenizer = tokenizer;
    this.#scratch = new SamplingScratch(config.vocabularySize);
    this.#constraints = new ConstraintFactory({
      size: config.vocabularySize,
      endIds: config.endOfSequenceIds,
      tokenBytes: (id) => tokenizer.tokenBytes(id),
      isSpecial: (id) => tokenizer.isSpecial(id),
    });
  }

  /** Token ids that end an answer of this job. Under a constraint the model's own come only where the answer may end. */
  endIds({ sampling, constraint }: SequenceJob): ReadonlySet<number> {
    const ignoresOwn = sampling.ignoreEndOfSequence && constraint === undefined;
    const own = ignoresOwn ? [] : this.config.endOfSequenceIds;
    return new Set([...own, ...sampling.stopTokenIds]);
  }

  /**
   * @throws JanusError when a sampling setting does not fit the model, for instance a biased token that does not exist, or the
   *   constraint is not supported or does not fit what was generated already
   */
  create(start: SequenceStart): Sequence {
    const { sampling, constraint } = start.job;
    return new Sequence(start, {
      sampler: new Sampler(sampling, start.promptIds, this.#scratch),
      detokenizer: new IncrementalDetokenizer(this.tokenizer),
      stopMatcher: new StopMatcher(sampling.stop),
      ...(constraint && { constraint: this.#constraints.create(constraint, sampling.ignoreEndOfSequence) }),
      describeToken: (id) => this.#describe(id),
    });
  }

  #describe(id: number): { token: string; bytes: number[] } {
    const bytes = this.tokenizer.tokenBytes(id);
    return { token: this.#decoder.decode(bytes), bytes: [...bytes] };
  }
}
