import { Worker } from 'node:worker_threads';
import {
  TOKENIZATION_LIFE_MS,
  type TokenizationQuestion,
  type TokenizationReply,
} from '../../../shared/protocol/tokenization.ts';
import { unavailable } from '../../attention/failure.ts';
import { WORKER_LIMITS } from '../../runtime/worker-limits.ts';

/** Where a tokenizer is loaded from. */
export interface TokenizerSource {
  readonly folder: string;
  readonly vocabularySize: number;
}

const LOST: TokenizationReply = {
  kind: 'failed',
  error: unavailable("The model's tokenizer ended before it answered; send the request again."),
};

/**
 * A thread with a model's tokenizer, so that neither the host's own thread nor a generation waits for it. It starts with the
 * first question: a host that is never asked holds no second tokenizer.
 */
export class TokenizerThread {
  readonly #source: TokenizerSource;
  readonly #log: (message: string) => void;
  #worker: Worker | undefined;
  #isClosed = false;

  constructor(source: TokenizerSource, log: (message: string) => void) {
    this.#source = source;
    this.#log = log;
  }

  /**
   * Answers within the life of a question, if only with a failure. To be called when the question before it is answered.
   *
   * @returns JSON of a `TokenizationReply`
   */
  async answer(question: TokenizationQuestion): Promise<string> {
    if (this.#isClosed) return JSON.stringify(LOST);
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const { promise, resolve } = Promise.withResolvers<string>();
    const onExit = () => resolve(JSON.stringify(LOST));
    worker.once('message', resolve);
    worker.once('exit', onExit);
    const timer = setTimeout(() => void worker.terminate(), TOKENIZATION_LIFE_MS);
    worker.postMessage(question);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      worker.off('message', resolve);
      worker.off('exit', onExit);
    }
  }

  /** Ends at once; a question under way is answered with a failure. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./tokenizer-worker.ts', import.meta.url), {
      workerData: this.#source,
      resourceLimits: WORKER_LIMITS,
    });
    worker.on('error', (error: Error) => this.#log(`tokenizer: ${error.message}`));
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    return worker;
  }
}
