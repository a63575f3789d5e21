import { cpus } from 'node:os';
import type { Redis } from 'ioredis';
import type { HostRecord } from '../../shared/protocol/member.ts';

const US_PER_MS = 1_000;
const MS_PER_S = 1_000;
const REDIS_SECONDS = /^used_cpu_(?:sys|user):([\d.]+)/gm;

/** Processor time that had been taken at one moment. */
export interface ProcessorReading {
  readonly atMs: number;
  /** Of this process, which stands for the gateways, and of Redis. */
  readonly besideMs: number;
  readonly hosts: readonly HostRecord[];
  /** Of everything on this machine. */
  readonly machineMs: number;
}

/** @param hosts as they are now */
export async function readProcessorUse(
  redis: Redis,
  hosts: readonly HostRecord[],
): Promise<ProcessorReading> {
  const info = await redis.info('cpu');
  const { user, system } = process.cpuUsage();
  return {
    atMs: performance.now(),
    besideMs: redisMs(info) + (user + system) / US_PER_MS,
    hosts,
    machineMs: machineMs(),
  };
}

function machineMs(): number {
  const times = cpus().flatMap(({ times: { idle: _, ...busy } }) => Object.values(busy));
  return times.reduce((sum, ms) => sum + ms, 0);
}

/** Milliseconds that Redis says in `INFO cpu` to have computed, in all its threads. */
export function redisMs(info: string): number {
  return [...info.matchAll(REDIS_SECONDS)].reduce((sum, [, seconds]) => sum + MS_PER_S * Number(seconds), 0);
}

/** Processors that hosts, Redis and this process kept busy together, on average; null where a host does not tell. */
export function busyProcessors(before: ProcessorReading, after: ProcessorReading): number | null {
  let busy = (after.besideMs - before.besideMs) / (after.atMs - before.atMs);
  const earlier = new Map(before.hosts.map((host) => [host.host, host]));
  for (const { host, heartbeatAtMs, processorMs } of after.hosts) {
    const { heartbeatAtMs: sinceMs = 0, processorMs: tookMs } = earlier.get(host) ?? {};
    if (processorMs === undefined || tookMs === undefined || heartbeatAtMs <= sinceMs) return null;
    busy += (processorMs - tookMs) / (heartbeatAtMs - sinceMs);
  }
  return busy;
}

/** Processors that were busy on this machine beside `busy` of ours, on average. */
export const othersBusy = (before: ProcessorReading, after: ProcessorReading, busy: number): number =>
  (after.machineMs - before.machineMs) / (after.atMs - before.atMs) - busy;
