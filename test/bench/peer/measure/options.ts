import type { WeightForm } from '../../../../shared/model/config.ts';
import { BENCH_MODELS, type BenchModelOptions } from '../../model/options.ts';
import type { GgufType } from '../gguf/gguf.ts';

/** What is to be measured, and how often. */
export interface PeerBenchOptions {
  readonly model: BenchModelOptions;
  /** Forms of our weights; the peer's format follows from each. */
  readonly dtypes: readonly WeightForm[];
  /** Length of the prompts whose prefill is timed; 0 leaves prefill out. */
  readonly prefillTokens: number;
  /** Decode cells: numbers of sequences at each length of the context. */
  readonly decode: readonly { readonly context: number; readonly sequences: readonly number[] }[];
  /** Tokens that each sequence decodes while all do. */
  readonly decodeTokens: number;
  readonly repetitions: number;
  /** Prompts on which both systems' greedy tokens are compared; 0 leaves that out. */
  readonly agreementPrompts: number;
  /** Threads of the peer. */
  readonly threads: number;
  /** More flags for `janus up`. */
  readonly janusFlags: readonly string[];
}

export const DEFAULT_OPTIONS: PeerBenchOptions = {
  model: BENCH_MODELS.default,
  dtypes: ['int4', 'int8'],
  prefillTokens: 512,
  decode: [
    { context: 64, sequences: [1, 4, 8, 16, 32] },
    { context: 1_024, sequences: [1, 8] },
  ],
  decodeTokens: 48,
  repetitions: 5,
  agreementPrompts: 8,
  threads: 2,

  janusFlags: [],
};

/** Shows that everything works; its figures are not worth keeping. */
export const QUICK_OPTIONS: PeerBenchOptions = {
  ...DEFAULT_OPTIONS,
  dtypes: ['int4'],
  decode: [{ context: 64, sequences: [1, 8] }],
  decodeTokens: 16,
  repetitions: 1,
  agreementPrompts: 2,
};

/** What the peer is given for each of our forms: the nearest of its own. */
export const GGUF_TYPES: Readonly<Record<WeightForm, GgufType>> = { f32: 'F16', int8: 'Q8_0', int4: 'Q4_0' };
