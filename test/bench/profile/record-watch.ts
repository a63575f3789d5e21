import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { readMembers } from '../../../gpu-pool/host/membership.ts';
import { HEARTBEAT_INTERVAL_MS, type HostRecord } from '../../../shared/protocol/member.ts';
import type { RecordSpan } from './step-profile.ts';

/** Often enough to see every heartbeat, rare enough to take nothing from the host. */
const POLL_MS = HEARTBEAT_INTERVAL_MS / 4;
/** Longest time that is watched. */
const LIMIT_MS = 10 * 60_000;
/** A record tells of the last step that had ended; the step under way at the edge may be of another kind. */
const EDGE_MS = 200;

/** Time that a span must last for sure to hold two heartbeats, with one more for a mean that means something. */
export const SURE_SPAN_MS = 3 * HEARTBEAT_INTERVAL_MS + EDGE_MS;

/** Collects the records that the only host of a model publishes with its heartbeats. */
export class RecordWatch {
  readonly #records = new Map<number, HostRecord>();
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(redis: Redis, model: string) {
    this.#done = this.#watch(redis, model);
    // Whoever stops the watch is told.
    this.#done.catch(() => {});
  }

  async #watch(redis: Redis, model: string): Promise<void> {
    const untilMs = performance.now() + LIMIT_MS;
    while (!this.#stopped && performance.now() < untilMs) {
      for (const record of await readMembers(redis, model)) this.#records.set(record.heartbeatAtMs, record);
      await sleep(POLL_MS);
    }
  }

  /** Returns the records in the order of their times. */
  async stop(): Promise<HostRecord[]> {
    this.#stopped = true;
    await this.#done;
    return [...this.#records.values()];
  }
}

/**
 * The first and the last record of a time, in Unix milliseconds.
 *
 * @throws Error when there are not two
 */
export function spanWithin(records: readonly HostRecord[], fromMs: number, untilMs: number): RecordSpan {
  const within = records.filter(
    ({ heartbeatAtMs }) => heartbeatAtMs >= fromMs + EDGE_MS && heartbeatAtMs <= untilMs,
  );
  const [before, after] = [within[0], within.at(-1)];
  if (before === undefined || after === undefined || before === after) {
    throw new Error(
      `All sequences decoded for ${Math.round(untilMs - fromMs)} ms together, in which ${within.length} heartbeats of the ` +
        'host came; it takes two.',
    );
  }
  return { before, after };
}
