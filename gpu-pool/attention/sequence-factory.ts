import type { ModelConfig } from '../../shared/model/config.ts';
import type { SamplingSettings } from '../../shared/protocol/request.ts';
import { IncrementalDetokenizer } from '../tokenizer/incremental-detokenizer.ts';
import type { ModelTokenizer } from '../tokenizer/model-tokenizer.ts';
import { Sampler, SamplingScratch } from './sampling/sampler.ts';
import { Sequence, type SequenceStart } from './sequence.ts';
import { StopMatcher } from './stop-matcher.ts';

/** Makes sequences of one model. */
export class SequenceFactory {
  readonly config: ModelConfig;
  readonly tokenizer: ModelTokenizer;
  readonly #scratch: SamplingScratch;
  readonly #decoder = new TextDecoder();

  constructor(config: ModelConfig, tokenizer: ModelTokenizer) {
    this.config = config;
    this.tokenizer = tokenizer;
    this.#scratch = new SamplingScratch(config.vocabularySize);
  }

  /** Token ids that end an answer with these settings. */
  endIds(sampling: SamplingSettings): ReadonlySet<number> {
    const own = sampling.ignoreEndOfSequence ? [] : this.config.endOfSequenceIds;
    return new Set([...own, ...sampling.stopTokenIds]);
  }

  /** @throws JanusError when a sampling setting does not fit the model, for instance a biased token that does not exist */
  create(start: SequenceStart): Sequence {
    const { sampling } = start.job;
    return new Sequence(start, {
      sampler: new Sampler(sampling, start.promptIds, this.#scratch),
      detokenizer: new IncrementalDetokenizer(this.tokenizer),
      stopMatcher: new StopMatcher(sampling.stop),
      describeToken: (id) => this.#describe(id),
    });
  }

  #describe(id: number): { token: string; bytes: number[] } {
    const bytes = this.tokenizer.tokenBytes(id);
    return { token: this.#decoder.decode(bytes), bytes: [...bytes] };
  }
}
