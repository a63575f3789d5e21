import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Namespace } from './namespace.ts';

/** Characters of a program's output that are kept, for the error that it may be needed in. */
const OUTPUT_LIMIT = 20_000;

/** A program that runs on a node. */
export class NodeProcess {
  /** Resolves when it has ended, to its exit status, or null where a signal ended it. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #argv: readonly string[];
  #output = '';

  constructor(namespace: Namespace, argv: readonly string[], env: Readonly<Record<string, string>>) {
    const { REDIS_URL: _, ...inherited } = process.env;
    this.#argv = argv;
    this.#child = namespace.spawn(argv, {
      env: { ...inherited, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_LIMIT);
        if (process.env.JANUS_TEST_LOG) process.stderr.write(text);
        this.#child.emit('output');
      });
    }
    this.ended = once(this.#child, 'close').then(([status]) => status as number | null);
  }

  /** What it wrote of late, to both streams. */
  get output(): string {
    return this.#output;
  }

  /** Waits until its output holds `pattern`. @throws Error with the output when it does not in time, or ends before */
  async waitFor(pattern: RegExp, limitMs: number): Promise<RegExpExecArray> {
    const signal = AbortSignal.timeout(limitMs);
    let over = false;
    void this.ended.then(() => {
      over = true;
      this.#child.emit('output');
    });
    for (;;) {
      const found = pattern.exec(this.#output);
      if (found !== null) return found;
      if (over || signal.aborted) {
        const what = over ? 'ended' : `was not there after ${limitMs} ms`;
        throw new Error(
          `${this.#argv.join(' ')}: ${what} without ${pattern} in its output:\n${this.#output}`,
        );
      }
      await once(this.#child, 'output', { signal }).catch(() => {});
    }
  }

  /** Ends it as an operator would, or by force when that takes longer than `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#child.kill('SIGTERM');
    const limit = new AbortController();
    const late = sleep(limitMs, true, { signal: limit.signal }).catch(() => false);
    if (await Promise.race([late, this.ended.then(() => false)])) await this.kill();
    limit.abort();
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
