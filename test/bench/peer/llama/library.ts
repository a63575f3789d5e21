/** The part of the interface of `node-llama-cpp` that the benchmark uses. */
export interface LlamaLibrary {
  getLlama(options: {
    readonly build: 'never';
    readonly gpu: false;
    readonly maxThreads: number;
    readonly logLevel: string;
  }): Promise<{ loadModel(options: { readonly modelPath: string }): Promise<LlamaModel> }>;
}

export interface LlamaModel {
  createContext(options: {
    readonly sequences: number;
    readonly contextSize: number;
    readonly threads: number;
    readonly batching?: { readonly itemPrioritizationStrategy: BatchStrategy };
  }): Promise<LlamaContext>;
}

export interface LlamaContext {
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}

export interface LlamaSequence {
  readonly nextTokenIndex: number;
  clearHistory(): Promise<void>;
  eraseContextTokenRanges(ranges: readonly { readonly start: number; readonly end: number }[]): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  /** Yields the sampled token; what `next` is given is fed instead of it. */
  evaluate(
    tokens: readonly number[],
    options: { readonly temperature: number; readonly yieldEogToken: boolean },
  ): AsyncGenerator<number, void, number | undefined>;
  controlledEvaluate(
    input: readonly (number | readonly [token: number, options: GenerateNext])[],
  ): Promise<readonly ({ readonly next: { readonly token?: number | null } } | undefined)[]>;
}

interface GenerateNext {
  readonly generateNext: { readonly token: boolean; readonly options: { readonly temperature: number } };
}

interface BatchItem {
  readonly tokens: readonly number[];
}

/** Chooses what a batch of at most `size` tokens holds, and in which order. */
export type BatchStrategy = (options: {
  readonly items: readonly BatchItem[];
  readonly size: number;
}) => { readonly item: BatchItem; readonly processAmount: number }[];
