import { FIRST_LEVEL, LAST_LEVEL } from '../../../shared/admission/fair-priority.ts';
import type { Constraint, Prompt, SamplingSettings } from '../../../shared/protocol/request.ts';
import { invalid } from '../errors.ts';
import { GREEDY_TEMPERATURE, MAX_CHOICES } from './field-limits.ts';
import type { CommonFields } from './fields.ts';

/** A valid request for either kind of completion, in our own terms. */
export interface GenerationRequest {
  /** Absent where the address may name the model. */
  readonly model: string | undefined;
  readonly prompts: readonly Prompt[];
  /** n; choice number i answers prompt number ⌊i / n⌋. */
  readonly choicesPerPrompt: number;
  readonly sampling: Omit<SamplingSettings, 'seed'>;
  /** Unsigned 32-bit; null: the client gave none. */
  readonly seed: number | null;
  readonly maxTokens: number | null;
  /** Absent: answers are free. */
  readonly constraint?: Constraint;
  /** Names of the functions that the answer may call; where there are none, its text is not looked at. */
  readonly callable: readonly string[];
  /** A lower one goes before. Absent: 0. */
  readonly priority?: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Fields that the answer repeats. */
  readonly echo?: Readonly<Record<string, unknown>>;
}

/** What the kinds of request name differently, or one of them alone has. */
interface OwnFields {
  readonly prompts: readonly Prompt[];
  readonly maxTokens: number | null;
  readonly topLogprobs: number | null;
  readonly constraint?: Constraint | undefined;
  /** Default: none. */
  readonly callable?: readonly string[];
  /** Texts that end the answer besides those of the fields. Default: none. */
  readonly stop?: readonly string[];
}

/** Sampling settings but for the seed, which is drawn per sequence. */
const samplingOf = (
  fields: CommonFields,
  { topLogprobs, stop = [] }: OwnFields,
): Omit<SamplingSettings, 'seed'> => ({
  temperature: fields.temperature < GREEDY_TEMPERATURE ? 0 : fields.temperature,
  topP: fields.top_p,
  topK: Math.max(0, fields.top_k),
  minP: fields.min_p,
  presencePenalty: fields.presence_penalty,
  frequencyPenalty: fields.frequency_penalty,
  repetitionPenalty: fields.repetition_penalty,
  logitBias: fields.logit_bias,
  stop: [...(fields.stop ?? []), ...stop],
  stopTokenIds: fields.stop_token_ids,
  ignoreEndOfSequence: fields.ignore_eos,
  topLogprobs,
});

/** A seed of any size and sign, reduced modulo 2^32. */
const reduceSeed = (seed: number): number => ((seed % 2 ** 32) + 2 ** 32) % 2 ** 32;

type ServiceTier = NonNullable<CommonFields['service_tier']>;

/** The tier as which a request is served: a gateway has no other one to choose. */
const servedTier = (tier: ServiceTier): ServiceTier => (tier === 'auto' ? 'default' : tier);

/** @throws {RequestError} 400 where the tier asks for another priority than the request itself */
function priorityOf({ priority, service_tier: tier = 'default' }: CommonFields): number {
  if (tier === 'default' || tier === 'auto') return priority ?? 0;
  if (priority !== undefined) {
    throw invalid('priority', `Invalid 'priority': 'service_tier' is "${tier}" already; give one of the two`);
  }
  return tier === 'priority' ? FIRST_LEVEL : LAST_LEVEL;
}

/** @throws {RequestError} 400 where fields that are valid alone do not go together */
export function generationRequest(fields: CommonFields, own: OwnFields): GenerationRequest {
  if (fields.stream_options !== undefined && !fields.stream) {
    throw invalid('stream_options', "Invalid 'stream_options': needs 'stream' to be true");
  }
  const choices = own.prompts.length * fields.n;
  if (choices > MAX_CHOICES) {
    throw invalid(
      'n',
      `Invalid 'n': prompts × n is ${choices}, but at most ${MAX_CHOICES} choices are served at once`,
    );
  }
  const priority = priorityOf(fields);
  return {
    model: fields.model,
    prompts: own.prompts,
    choicesPerPrompt: fields.n,
    sampling: samplingOf(fields, own),
    seed: fields.seed === undefined ? null : reduceSeed(fields.seed),
    maxTokens: own.maxTokens,
    ...(own.constraint && { constraint: own.constraint }),
    callable: own.callable ?? [],
    ...(priority !== 0 && { priority }),
    stream: fields.stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    ...(fields.service_tier && { echo: { service_tier: servedTier(fields.service_tier) } }),
  };
}
