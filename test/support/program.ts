import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const OUTPUT_LIMIT_MS = 50_000;

export interface Ending {
  /** Exit status; null when a signal ended the process. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A script of this repository that runs in a process of its own. */
export interface Program {
  /** Waits until the output holds `pattern`. @throws Error with the output if it does not in time, or before the end */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ending>;
}

/**
 * Lets the tests of a file start scripts; what a test leaves running is killed after it.
 *
 * @param script path from the root of the repository
 * @returns starts it; `env` is added to the environment, which holds no `REDIS_URL`
 */
export function usePrograms(script: string) {
  const running = new Set<ChildProcess>();
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
  });
  return (args: readonly string[], env: Readonly<Record<string, string>> = {}): Program => {
    const { REDIS_URL: _, ...inherited } = process.env;
    const child = spawn(process.execPath, [script, ...args], {
      cwd: ROOT,
      env: { ...inherited, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    return watch(child);
  };
}

function watch(child: ChildProcess): Program {
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]!.setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
      child.emit('output');
    });
  }
  const ended = once(child, 'close').then(([status, signal]) => ({ status, signal, ...output }) as Ending);
  return {
    ended,
    kill: (signal) => child.kill(signal),
    async waitFor(pattern) {
      const deadline = AbortSignal.timeout(OUTPUT_LIMIT_MS);
      for (;;) {
        const found = pattern.exec(output.stdout);
        if (found !== null) return found;
        const more = once(child, 'output', { signal: deadline }).then(
          () => true,
          () => false,
        );
        if (!(await Promise.race([more, ended.then(() => pattern.test(output.stdout))]))) {
          throw new Error(`No ${pattern} in the output:\n${output.stdout}\n${output.stderr}`);
        }
      }
    },
  };
}
