import { CliProcess, type CliProcessOptions } from '../../systems/cli-process.ts';

/** Building a thousand f32 sessions takes minutes. */
const START_LIMIT_MS = 15 * 60_000;
const READY = /^ready\s+(http\S+)\/v1/m;
const REDIS = /^redis\s+(redis:[^,\s]+)/m;

/** `janus up` in a process of its own, with a Redis of its own: what a user of one machine starts. */
export class JanusProcess {
  /** Address of the gateway. */
  readonly url: string;
  readonly redisUrl: string;
  /** From the start of the process until it was ready to answer. */
  readonly loadMs: number;
  readonly #cli: CliProcess;

  private constructor(cli: CliProcess, url: string, redisUrl: string, loadMs: number) {
    this.#cli = cli;
    this.url = url;
    this.redisUrl = redisUrl;
    this.loadMs = loadMs;
  }

  /**
   * @param flags of `janus up`, without `--port`
   * @throws JanusError with the output when it ends or is not ready in time
   */
  static async start(flags: readonly string[], options: CliProcessOptions = {}): Promise<JanusProcess> {
    const startedAtMs = performance.now();
    // However the benchmark ends, nothing is left running; Redis ends with the process that started it.
    const cli = CliProcess.start(['up', '--port', '0', ...flags], options);
    const [, url] = await cli.waitFor(READY, START_LIMIT_MS);
    const loadMs = performance.now() - startedAtMs;
    const [, redisUrl] = await cli.waitFor(REDIS, START_LIMIT_MS);
    return new JanusProcess(cli, url!, redisUrl!, loadMs);
  }

  get processId(): number {
    return this.#cli.processId;
  }

  stop(): Promise<void> {
    return this.#cli.stop();
  }
}
