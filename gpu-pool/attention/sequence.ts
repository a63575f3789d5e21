import type { StepSequence } from '../../shared/batching/plan-step.ts';
import type { SequenceJob } from '../../shared/protocol/request.ts';
import type { TokenLogprob } from '../../shared/protocol/token-event.ts';
import type { IncrementalDetokenizer } from '../tokenizer/incremental-detokenizer.ts';
import type { AnswerConstraint } from './constrained/answer-constraint.ts';
import { rawLogprobs } from './sampling/logprobs.ts';
import type { Sampler } from './sampling/sampler.ts';
import type { StopMatcher } from './stop-matcher.ts';

/** Why a sequence ended by itself. */
export type FinishReason = 'stop' | 'length';

/** What one sampled token brings. */
export interface SampledToken {
  readonly id: number;
  /** 0 for the first answer token. */
  readonly position: number;
  readonly text: string;
  readonly logprob?: TokenLogprob & { readonly top: readonly TokenLogprob[] };
  readonly finished: FinishReason | undefined;
}

/** The tools that turn logits into text for one sequence. */
export interface SequenceTools {
  readonly sampler: Sampler;
  readonly detokenizer: IncrementalDetokenizer;
  readonly stopMatcher: StopMatcher;
  /** Absent: the answer is free. */
  readonly constraint?: AnswerConstraint;
  /** Text and exact bytes of one token, for log probabilities. */
  readonly describeToken: (id: number) => { token: string; bytes: number[] };
}

/** What a sequence starts with. */
export interface SequenceStart {
  /** Number of the sequence in order of arrival. */
  readonly arrival: number;
  readonly job: SequenceJob;
  readonly slot: number;
  readonly promptIds: readonly number[];
  /** Answer tokens that an earlier host generated: they are computed again but neither sampled nor sent. */
  readonly emitted: readonly number[];
  readonly maxTokens: number;
  /** Token ids that end the answer. */
  readonly endIds: ReadonlySet<number>;
}

/** One sequence that holds a KV slot: its tokens, how far they are computed, and how it goes on. */
export class Sequence implements StepSequence {
  readonly arrival: number;
  readonly job: SequenceJob;
  readonly slot: number;
  readonly promptTokens: number;
  readonly maxTokens: number;
  /** Prompt and answer. Tokens from `computed` on still have to pass the model. */
  readonly tokens: number[];
  /** Number of tokens whose keys and values are in the KV cache. */
  computed = 0;
  /** Prompt tokens among them that were not computed for this sequence, but kept from an earlier one. */
  cachedTokens = 0;
  readonly #endIds: ReadonlySet<number>;
  readonly #tools: SequenceTools;

  constructor(start: SequenceStart, tools: SequenceTools) {
    const { promptIds, emitted } = start;
    this.arrival = start.arrival;
    this.job = start.job;
    this.slot = start.slot;
    this.promptTokens = promptIds.length;
    this.maxTokens = start.maxTokens;
    this.tokens = [...promptIds, ...emitted];
    this.#endIds = start.endIds;
    this.#tools = tools;
    for (const id of emitted) {
      tools.sampler.observe(id);
      tools.constraint?.accept(id);
      tools.stopMatcher.push(tools.detokenizer.push(id));
    }
  }

  get completionTokens(): number {
    return this.tokens.length - this.promptTokens;
  }

  /** Tokens that have to pass the model before the next one can be sampled: 1 while decoding. */
  get pending(): number {
    return this.tokens.length - this.computed;
  }

  get isDeferrable(): boolean {
    return this.job.isDeferrable === true;
  }

  /** 0 while decoding: then the only pending token is the last one sampled. */
  get pendingPromptTokens(): number {
    return this.completionTokens > 0 && this.pending === 1 ? 0 : this.pending;
  }

  /** Counts `tokens` more as computed that came from the prefix cache. */
  reuse(tokens: number): void {
    this.cachedTokens += Math.max(0, Math.min(this.promptTokens - this.computed, tokens));
    this.computed += tokens;
  }

  /** Samples the next token from `logits` `[V]`. @throws JanusError when the logits are not numbers, or no token can follow */
  take(logits: Float32Array): SampledToken {
    const { sampler, detokenizer, stopMatcher, constraint } = this.#tools;
    const { sampling } = this.job;
    const position = this.completionTokens;
    const id = sampler.sample(logits, position, constraint?.allowed());
    sampler.observe(id);
    constraint?.accept(id);
    this.tokens.push(id);
    if (this.#endIds.has(id)) return { id, position, text: '', finished: 'stop' };
    const { text, stopped } = stopMatcher.push(detokenizer.push(id));
    const logprob =
      sampling.topLogprobs === null ? undefined : this.#logprob(logits, id, sampling.topLogprobs);
    const ends = stopped || constraint?.isOver === true;
    const finished = ends ? 'stop' : position + 1 >= this.maxTokens ? 'length' : undefined;
    return { id, position, text, finished, ...(logprob && { logprob }) };
  }

  /** Text that was held back; to be called once, when the sequence ends for another reason than a stop text. */
  flush(): string {
    const { detokenizer, stopMatcher } = this.#tools;
    const { text, stopped } = stopMatcher.push(detokenizer.flush());
    return stopped ? text : text + stopMatcher.flush();
  }

  #logprob(logits: Float32Array, id: number, top: number): TokenLogprob & { top: TokenLogprob[] } {
    const { describeToken } = this.#tools;
    const raw = rawLogprobs(logits, id, top);
    return {
      id,
      ...describeToken(id),
      logprob: raw.logprob,
      top: raw.top.map((ranked) => ({ ...ranked, ...describeToken(ranked.id) })),
    };
  }
}
