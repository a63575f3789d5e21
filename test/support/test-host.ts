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
  /** Ends the process as a crash would. */
  kill(): Promise<void>;
  /** Ends the process as an operator would; resolves to its exit code. */
  stop(): Promise<number | null>;
}

/** Starts a host process through the CLI. Its output goes to this process's stderr when `JANUS_TEST_LOG` is set. */
export function spawnHost(args: readonly string[]): HostProcess {
  const cli = fileURLToPath(new URL('../../infra/cli/janus.ts', import.meta.url));
  const stdio = process.env.JANUS_TEST_LOG ? 'inherit' : 'ignore';
  const child = spawn(process.execPath, [cli, 'host', ...args], { stdio: ['ignore', stdio, stdio] });
  const exited = once(child, 'exit');
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    await exited;
    return child.exitCode;
  };
  return {
    pid: child.pid!,
    async kill() {
      await end('SIGKILL');
    },
    stop: () => end('SIGTERM'),
  };
}
