import type { BatchStrategy, LlamaContext, LlamaModel, LlamaSequence } from './library.ts';
import type { PeerMode } from './protocol.ts';

/** Greedy is the library's cheapest way to sample; what would end an answer is a token like any other here. */
const SAMPLING = { temperature: 0, yieldEogToken: true } as const;

/**
 * Sorts a batch by sequence. The library does not tell a strategy which sequence an item belongs to, so the tokens do: those
 * of sequence s leave the remainder s when divided by the number of sequences.
 */
const bySequence =
  (sequences: number): BatchStrategy =>
  ({ items, size }) => {
    let left = size;
    return items
      .toSorted((a, b) => (a.tokens[0]! % sequences) - (b.tokens[0]! % sequences))
      .map((item) => {
        const processAmount = Math.min(item.tokens.length, left);
        left -= processAmount;
        return { item, processAmount };
      })
      .filter(({ processAmount }) => processAmount > 0);
  };

/** One context of the peer, and the sequences in it. */
export class PeerContext {
  readonly #context: LlamaContext;
  readonly #mode: PeerMode;
  readonly #sequences: readonly LlamaSequence[];
  #prompts: readonly (readonly number[])[] = [];

  private constructor(context: LlamaContext, mode: PeerMode, sequences: number) {
    this.#context = context;
    this.#mode = mode;
    this.#sequences = Array.from({ length: sequences }, () => context.getSequence());
  }

  static async open(
    model: LlamaModel,
    mode: PeerMode,
    size: { readonly sequences: number; readonly contextSize: number; readonly threads: number },
  ): Promise<PeerContext> {
    const batching = { itemPrioritizationStrategy: bySequence(size.sequences) };
    const context = await model.createContext({ ...size, ...(mode === 'tuned' && { batching }) });
    return new PeerContext(context, mode, size.sequences);
  }

  close(): Promise<void> {
    return this.#context.dispose();
  }

  async prefill(prompt: readonly number[]): Promise<number> {
    const [sequence] = this.#sequences;
    await sequence!.clearHistory();
    const startedAtMs = performance.now();
    const answer = sequence!.evaluate(prompt, SAMPLING);
    await answer.next();
    const firstTokenMs = performance.now() - startedAtMs;
    await answer.return();
    return firstTokenMs;
  }

  async prepare(prompts: readonly (readonly number[])[]): Promise<void> {
    this.#prompts = prompts;
    for (const [i, prompt] of prompts.entries()) {
      await this.#sequences[i]!.clearHistory();
      await this.#sequences[i]!.evaluateWithoutGeneratingNewTokens(prompt);
    }
  }

  /** @returns when each sequence got its tokens, in ms from the start */
  async decode(feeds: readonly (readonly number[])[]): Promise<number[][]> {
    await this.#rewind();
    const answers = this.#prompts.map((prompt, i) =>
      this.#sequences[i]!.evaluate([prompt.at(-1)!], SAMPLING),
    );
    const timesMs = await (this.#mode === 'tuned' ? stepTogether(answers, feeds) : runFree(answers, feeds));
    await Promise.all(answers.map((answer) => answer.return()));
    return timesMs;
  }

  /** Takes everything from the last token of each prompt on out of the caches: it is what decoding starts with. */
  async #rewind(): Promise<void> {
    for (const [i, prompt] of this.#prompts.entries()) {
      const sequence = this.#sequences[i]!;
      await sequence.eraseContextTokenRanges([{ start: prompt.length - 1, end: sequence.nextTokenIndex }]);
    }
  }

  async predict(tokens: readonly number[], from: number): Promise<number[]> {
    const [sequence] = this.#sequences;
    await sequence!.clearHistory();
    const options = { generateNext: { token: true, options: { temperature: 0 } } };
    const outputs = await sequence!.controlledEvaluate(
      tokens.map((token, i) => (i < from ? token : ([token, options] as const))),
    );
    return tokens.slice(from).map((_, i) => tokenOf(outputs[from + i]));
  }
}

function tokenOf(output: { readonly next: { readonly token?: number | null } } | undefined): number {
  const token = output?.next.token;
  if (token == null) throw new Error('The peer gave no next token.');
  return token;
}

type Answer = AsyncGenerator<number, void, number | undefined>;

async function stepTogether(
  answers: readonly Answer[],
  feeds: readonly (readonly number[])[],
): Promise<number[][]> {
  const timesMs = answers.map((): number[] => []);
  const startedAtMs = performance.now();
  for (let step = 0; step < feeds[0]!.length; step++) {
    // The first call starts a generator, which takes no value yet.
    await Promise.all(answers.map((answer, i) => answer.next(step === 0 ? undefined : feeds[i]![step])));
    const nowMs = performance.now() - startedAtMs;
    for (const times of timesMs) times.push(nowMs);
  }
  return timesMs;
}

async function runFree(
  answers: readonly Answer[],
  feeds: readonly (readonly number[])[],
): Promise<number[][]> {
  const startedAtMs = performance.now();
  return Promise.all(
    answers.map(async (answer, i) => {
      const timesMs: number[] = [];
      for (let step = 0; step < feeds[i]!.length; step++) {
        await answer.next(step === 0 ? undefined : feeds[i]![step]);
        timesMs.push(performance.now() - startedAtMs);
      }
      return timesMs;
    }),
  );
}
