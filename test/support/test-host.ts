import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { DEFAULT_EXCHANGE } from '../../gpu-pool/exchange/exchange-options.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { DEFAULT_LIMITS, type HostOptions } from '../../gpu-pool/host/host-options.ts';
import { startHost } from '../../gpu-pool/host/start-host.ts';

export const DICTIONARY_FOLDER = fileURLToPath(
  new URL('../../gpu-pool/models/dictionary-moe', import.meta.url),
);
export const DICTIONARY_MODEL = 'dictionary-moe';

/** Options of a host of the shipped model, f32, 1 attention and 2 expert instances, unless told otherwise. */
export function hostOptions(redisUrl: string, overrides: Partial<HostOptions> = {}): HostOptions {
  return {
    role: 'both',
    model: { name: DICTIONARY_MODEL, folder: DICTIONARY_FOLDER, weightForm: 'f32' },
    redisUrl,
    attentionInstances: 1,
    expertInstances: 2,
    poolExpertInstances: 0,
    capacity: null,
    monolith: false,
    scheduler: 'aebs',
    gate: 'attention',
    exchange: DEFAULT_EXCHANGE,
    kernels: 'auto',
    limits: DEFAULT_LIMITS,
    ...overrides,
  };
}

/** Starts a host in this process; its log lines are kept in `lines`. */
export async function startTestHost(
  redisUrl: string,
  overrides: Partial<HostOptions> = {},
  lines: string[] = [],
): Promise<Host> {
  return startHost(hostOptions(redisUrl, overrides), { log: (line) => lines.push(line) });
}

/** A host in a process of its own. */
export interface HostProcess {
  readonly pid: number;
  /** What it has printed. */
  readonly output: () => string;
  /** Rejects with its output when it ends by itself. */
  readonly failed: Promise<never>;
  /** Ends the process as an operator would; resolves to its exit code. */
  stop(): Promise<number | null>;
}

/** Starts a host process through the CLI. */
export function spawnHost(args: readonly string[]): HostProcess {
  const cli = fileURLToPath(new URL('../../infra/cli/janus.ts', import.meta.url));
  const child = spawn(process.execPath, [cli, 'host', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let stopping = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = once(child, 'exit');
  const failed = exited.then(() => {
    if (stopping) return new Promise<never>(() => {});
    throw new Error(
      `janus host ${args.join(' ')} ended with ${child.exitCode ?? child.signalCode}:\n${output}`,
    );
  });
  failed.catch(() => {});
  return {
    pid: child.pid!,
    output: () => output,
    failed,
    async stop() {
      stopping = true;
      child.kill('SIGTERM');
      await exited;
      return child.exitCode;
    },
  };
}
