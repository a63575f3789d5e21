import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { describeSpawnError, spawnOwned } from './pinned.ts';

const CLI = fileURLToPath(new URL('../../../infra/cli/janus.ts', import.meta.url));
const STOP_LIMIT_MS = 10_000;
/** Characters of the output that are kept. */
const OUTPUT_LIMIT = 20_000;

export interface CliProcessOptions {
  /** Processors that it may use, as `taskset -c` takes them; by default all. */
  readonly processors?: string;
  /** Flags for Node. */
  readonly nodeFlags?: readonly string[];
}

/** `janus <args>` in a process of its own, which knows no Redis but the one in its flags. */
export class CliProcess {
  readonly #child: ChildProcess;
  readonly #command: string;
  /** Resolves when it has ended; rejects when it could not be started. */
  readonly #ended: Promise<unknown>;
  #output = '';
  #running = true;

  private constructor(child: ChildProcess, command: string) {
    this.#child = child;
    this.#command = command;
    this.#ended = once(child, 'exit').catch((error) => Promise.reject(describeSpawnError(error)));
    const over = (): void => {
      this.#running = false;
    };
    this.#ended.then(over, over);
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_LIMIT);
        child.emit('output');
      });
    }
  }

  static start(args: readonly string[], options: CliProcessOptions = {}): CliProcess {
    const { REDIS_URL: _, ...env } = process.env;
    const child = spawnOwned(
      process.execPath,
      [...(options.nodeFlags ?? []), CLI, ...args],
      options.processors,
      {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    return new CliProcess(child, `janus ${args[0]}`);
  }

  get processId(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#running;
  }

  /**
   * Waits until the output, as far as it is kept, matches.
   *
   * @throws JanusError with the output when the process ends before, as it is made to after `limitMs`
   */
  async waitFor(pattern: RegExp, limitMs: number): Promise<RegExpExecArray> {
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), limitMs);
    const over = new AbortController();
    const ended = this.#ended.then(() => false);
    ended.catch(() => {});
    try {
      for (;;) {
        const found = pattern.exec(this.#output);
        if (found !== null) return found;
        const more = once(this.#child, 'output', { signal: over.signal }).then(() => true);
        more.catch(() => {});
        if (!(await Promise.race([more, ended]))) throw this.#failure();
      }
    } finally {
      clearTimeout(limit);
      over.abort();
    }
  }

  /** Waits until it ends by itself. @throws JanusError with the output when that is not with success */
  async finish(): Promise<void> {
    await this.#ended;
    if (this.#child.exitCode !== 0) throw this.#failure();
  }

  /** Ends it as an operator would. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.#child.kill('SIGTERM');
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    await this.#ended;
    clearTimeout(limit);
  }

  #failure(): JanusError {
    const { exitCode, signalCode } = this.#child;
    return new JanusError(`${this.#command} ended with ${exitCode ?? signalCode}:\n${this.#output}`);
  }
}
