import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Share of the processors' time that others may take before a measurement is called disturbed. */
const QUIET_SHARE = 0.05;

/** Processor time since the machine started, in ticks, of all processors together. */
interface ProcessorTimes {
  readonly total: number;
  readonly idle: number;
  /** Time in which a virtual processor was ready and another machine had the real one. */
  readonly steal: number;
}

/** What else went on while nothing of ours ran, and what was stolen while it did. */
export interface MachineLoad {
  /** Largest share of the processors that others used in the pauses before the cells; ours were idle then. */
  readonly othersShare: number;
  /** Share of the processors' time that was stolen over the whole run. */
  readonly stealShare: number;
  /** Load average over a minute before the run. */
  readonly loadBefore: number;
  readonly quiet: boolean;
}

/** Parses the first line of `/proc/stat`. */
export function parseProcessorTimes(stat: string): ProcessorTimes {
  const fields = stat.slice(0, stat.indexOf('\n')).trim().split(/\s+/).slice(1, 9).map(Number);
  const [, , , idle = 0, ioWait = 0, , , steal = 0] = fields;
  return { total: fields.reduce((sum, ticks) => sum + ticks, 0), idle: idle + ioWait, steal };
}

const processorTimes = (): ProcessorTimes => parseProcessorTimes(readFileSync('/proc/stat', 'utf8'));

/** Watches the machine during a run. */
export class LoadWatch {
  readonly #before = processorTimes();
  readonly #loadBefore = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
  #othersShare = 0;

  /** Watches for a moment in which neither system has work: whatever runs then is somebody else's, or spins. */
  async pause(durationMs: number): Promise<void> {
    const before = processorTimes();
    await sleep(durationMs);
    const after = processorTimes();
    const share = 1 - (after.idle - before.idle) / Math.max(1, after.total - before.total);
    this.#othersShare = Math.max(this.#othersShare, share);
  }

  result(): MachineLoad {
    const after = processorTimes();
    const stealShare = (after.steal - this.#before.steal) / Math.max(1, after.total - this.#before.total);
    return {
      othersShare: round(this.#othersShare),
      stealShare: round(stealShare),
      loadBefore: this.#loadBefore,
      quiet: this.#othersShare <= QUIET_SHARE && stealShare <= QUIET_SHARE,
    };
  }
}

const round = (share: number): number => Math.round(share * 1_000) / 1_000;
