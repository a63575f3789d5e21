import { basename } from 'node:path';
import type { WeightForm } from '../../../../shared/model/config.ts';
import { GREEDY, TestClient } from '../../../support/generate.ts';
import type { CliProcessOptions } from '../../systems/cli-process.ts';
import { type SequenceRequest, streamTokens } from '../janus/http-load.ts';
import { JanusProcess } from '../janus/janus-process.ts';
import { runInnerLoop } from '../janus/queue-load.ts';
import { Peer } from '../llama/peer.ts';
import { peakMemoryMib } from './peak-memory.ts';

/** Janus with one model in one form of its weights, and the ways to give it work. */
export class Janus {
  readonly #process: JanusProcess;
  readonly #client: TestClient;
  readonly #model: string;

  private constructor(process: JanusProcess, model: string) {
    this.#process = process;
    this.#client = new TestClient(process.redisUrl);
    this.#model = model;
  }

  static async start(
    folder: string,
    form: WeightForm,
    flags: readonly string[],
    options: CliProcessOptions = {},
  ): Promise<Janus> {
    const process = await JanusProcess.start(['--model', folder, '--dtype', form, ...flags], options);
    return new Janus(process, basename(folder));
  }

  get loadMs(): number {
    return this.#process.loadMs;
  }

  get peakMemoryMib(): number {
    return peakMemoryMib(this.#process.processId);
  }

  /** @returns per sequence, times of its tokens as its client sees them, in ms since all were sent */
  async overHttp(requests: readonly SequenceRequest[]): Promise<number[][]> {
    const sentAtMs = performance.now();
    const { url } = this.#process;
    const answers = await Promise.all(requests.map((request) => streamTokens(url, this.#model, request)));
    return answers.map((timesMs) => timesMs.map((ms) => ms - sentAtMs));
  }

  /** The same without HTTP: see `runInnerLoop`. */
  innerLoop(requests: readonly SequenceRequest[]): Promise<number[][]> {
    return runInnerLoop(this.#client, this.#model, requests);
  }

  /** Ids of the greedy answer. */
  async greedy(prompt: readonly number[], tokens: number): Promise<readonly number[]> {
    const { ids } = await this.#client.generate({
      model: this.#model,
      prompt: { kind: 'tokens', ids: prompt },
      sampling: { ...GREEDY, ignoreEndOfSequence: true },
      maxTokens: tokens,
    });
    return ids;
  }

  async stop(): Promise<void> {
    await this.#client.close();
    await this.#process.stop();
  }
}

/** Both systems with the same model. Whichever is not told to work waits without spinning. */
export interface Systems {
  readonly janus: Janus;
  readonly peer: Peer;
}

/** Starts one system after the other, so that neither disturbs the loading of the other. */
export async function startSystems(options: {
  readonly folder: string;
  readonly form: WeightForm;
  readonly janusFlags: readonly string[];
  readonly moduleUrl: string;
  readonly ggufPath: string;
  readonly threads: number;
}): Promise<Systems & AsyncDisposable> {
  const peer = await Peer.start(options.moduleUrl, options.ggufPath, options.threads);
  try {
    const janus = await Janus.start(options.folder, options.form, options.janusFlags);
    const stop = async (): Promise<void> => {
      await janus.stop();
      await peer.stop();
    };
    return { janus, peer, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await peer.stop();
    throw error;
  }
}
