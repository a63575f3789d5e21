import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { JanusError } from '../../../../shared/errors/janus-error.ts';

const CLI = fileURLToPath(new URL('../../../../infra/cli/janus.ts', import.meta.url));
/** Building a thousand f32 sessions takes minutes. */
const START_LIMIT_MS = 15 * 60_000;
const STOP_LIMIT_MS = 10_000;
/** Characters of the output that are kept. */
const OUTPUT_LIMIT = 20_000;
const READY = /^ready\s+(http\S+)\/v1/m;
const REDIS = /^redis\s+(redis:\S+?),? /m;

/** `janus up` in a process of its own, with a Redis of its own: what a user of one machine starts. */
export class JanusProcess {
  /** Address of the gateway. */
  readonly url: string;
  readonly redisUrl: string;
  /** From the start of the process until it was ready to answer. */
  readonly loadMs: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string, redisUrl: string, loadMs: number) {
    this.#child = child;
    this.url = url;
    this.redisUrl = redisUrl;
    this.loadMs = loadMs;
  }

  /**
   * @param flags of `janus up`, without `--port`
   * @throws JanusError with the output when it ends or is not ready in time
   */
  static async start(flags: readonly string[]): Promise<JanusProcess> {
    const { REDIS_URL: _, ...env } = process.env;
    const startedAtMs = performance.now();
    const child = spawn(process.execPath, [CLI, 'up', '--port', '0', ...flags], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // However the benchmark ends, nothing is left running; Redis ends with the process that started it.
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    const output = collectOutput(child);
    const limit = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
    try {
      const text = await waitFor(child, output, READY);
      const loadMs = performance.now() - startedAtMs;
      return new JanusProcess(child, READY.exec(text)![1]!, REDIS.exec(text)![1]!, loadMs);
    } finally {
      clearTimeout(limit);
    }
  }

  get processId(): number {
    return this.#child.pid!;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(limit);
  }
}

function collectOutput(child: ChildProcess): () => string {
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_LIMIT);
      child.emit('output');
    });
  }
  return () => output;
}

async function waitFor(child: ChildProcess, output: () => string, pattern: RegExp): Promise<string> {
  const over = new AbortController();
  const ended = once(child, 'exit', { signal: over.signal }).then(() => false);
  ended.catch(() => {});
  try {
    while (!pattern.test(output())) {
      const more = once(child, 'output', { signal: over.signal }).then(() => true);
      more.catch(() => {});
      if (!(await Promise.race([more, ended]))) {
        throw new JanusError(`janus up ended with ${child.exitCode ?? child.signalCode}:\n${output()}`);
      }
    }
    return output();
  } finally {
    over.abort();
  }
}
