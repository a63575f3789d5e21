import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { benchCache } from '../model/options.ts';
import { peakMemoryMib } from '../peer/measure/peak-memory.ts';
import { FORM } from '../systems/bench-model.ts';
import { CliProcess } from '../systems/cli-process.ts';

const POLL_MS = 50;

export interface Packing {
  readonly seconds: number;
  readonly peakMib: number;
}

/** Packs a checkpoint by `janus pack` into a folder that is removed afterwards. */
export async function measurePacking(source: string): Promise<Packing> {
  const folder = await mkdtemp(join(benchCache(), 'packing-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    const startedAtMs = performance.now();
    const flags = ['--dtype', FORM, '--uniform', '--out', join(folder, 'packed')];
    const cli = CliProcess.start(['pack', source, ...flags]);
    const peakMib = await peakUntilEnd(cli);
    await cli.finish();
    return { seconds: Number(((performance.now() - startedAtMs) / 1_000).toFixed(1)), peakMib };
  } finally {
    remove();
    process.off('exit', remove);
  }
}

/** The kernel's own peak, read again and again, since nothing can be read of a process that has ended. */
async function peakUntilEnd(cli: CliProcess): Promise<number> {
  let peakMib = 0;
  while (cli.running) {
    try {
      peakMib = Math.max(peakMib, peakMemoryMib(cli.processId));
    } catch {
      // It has just ended.
    }
    await sleep(POLL_MS);
  }
  return peakMib;
}
