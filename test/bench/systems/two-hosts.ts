import { basename } from 'node:path';
import type { ExchangeMode } from '../../../gpu-pool/exchange/exchange-options.ts';
import { startLocalRedis } from '../../../infra/redis/local-redis.ts';
import { TestClient } from '../../support/generate.ts';
import type { SequenceRequest } from '../peer/janus/http-load.ts';
import { runInnerLoop } from '../peer/janus/queue-load.ts';
import type { DecodingSystem } from '../rounds/decode.ts';
import { FORM } from './bench-model.ts';
import { CliProcess } from './cli-process.ts';

const START_LIMIT_MS = 5 * 60_000;
const READY = /^ready: host/m;

export interface TwoHostsOptions {
  readonly folder: string;
  readonly exchange: ExchangeMode;
  /** Expert instances; there is one attention instance. */
  readonly experts: number;
  /** More flags of the attention host. */
  readonly attentionFlags: readonly string[];
  /** Processors that each host may use, as `taskset -c` takes them. */
  readonly processors: string;
}

/** An attention host and an expert host, each in a process of its own, and the Redis by which they meet. */
export class TwoHosts implements DecodingSystem {
  readonly #client: TestClient;
  readonly #model: string;
  readonly #parts: AsyncDisposableStack;

  private constructor(client: TestClient, model: string, parts: AsyncDisposableStack) {
    this.#client = client;
    this.#model = model;
    this.#parts = parts;
  }

  /** @throws JanusError with the output of a host that ends or is not ready in time; then nothing is left running */
  static async start(options: TwoHostsOptions): Promise<TwoHosts> {
    const { folder, processors } = options;
    await using parts = new AsyncDisposableStack();
    const redis = await startLocalRedis();
    parts.defer(() => redis.stop());
    const common = ['--redis', redis.url, '--model', folder, '--dtype', FORM];
    const startHost = async (flags: readonly string[]): Promise<void> => {
      const host = CliProcess.start(['host', ...common, ...flags], { processors });
      parts.defer(() => host.stop());
      await host.waitFor(READY, START_LIMIT_MS);
    };
    const experts = String(options.experts);
    await startHost(['--role', 'experts', '--experts', experts]);
    await startHost([
      ...['--role', 'attention', '--attention', '1', '--expert-instances', experts],
      ...['--exchange', options.exchange, ...options.attentionFlags],
    ]);
    const client = new TestClient(redis.url);
    parts.defer(() => client.close());
    return new TwoHosts(client, basename(folder), parts.move());
  }

  innerLoop(requests: readonly SequenceRequest[]): Promise<number[][]> {
    return runInnerLoop(this.#client, this.#model, requests);
  }

  stop(): Promise<void> {
    return this.#parts.disposeAsync();
  }
}
