import { expect, it } from 'vitest';
import { hostRecord } from '../../test/support/gateway/scripted-pool.ts';
import { busyProcessors, othersBusy, type ProcessorReading, redisMs } from './processor-use.ts';

const host = (id: string, heartbeatAtMs: number, processorMs?: number) => ({
  ...hostRecord('m', id, 'ready'),
  heartbeatAtMs,
  ...(processorMs !== undefined && { processorMs }),
});
const reading = (
  atMs: number,
  besideMs: number,
  machineMs: number,
  hosts: ProcessorReading['hosts'],
): ProcessorReading => ({ atMs, besideMs, machineMs, hosts });

it('adds up hosts by their own heartbeats, Redis and this process, and tells what others took', () => {
  const before = reading(0, 100, 1_000, [host('a', 500, 200), host('b', 900, 50)]);
  // Half a processor beside; 1,500 of 2,000 ms on the one host, 500 of 1,000 on the other.
  const after = reading(2_000, 1_100, 5_000, [host('a', 2_500, 1_700), host('b', 1_900, 550)]);
  const busy = busyProcessors(before, after)!;
  expect(busy).toBeCloseTo(0.5 + 0.75 + 0.5, 9);
  expect(othersBusy(before, after, busy)).toBeCloseTo(2 - busy, 9);
});

it('does not tell where a host is new, silent, or does not say', () => {
  const before = reading(0, 0, 0, [host('a', 500, 200)]);
  const hosts = [[host('a', 1_500, 300), host('b', 1_500, 10)], [host('a', 500, 200)], [host('a', 1_500)]];
  for (const each of hosts) expect(busyProcessors(before, reading(1_000, 0, 0, each))).toBeNull();
});

it('reads the time of Redis from what it tells of itself', () => {
  const info =
    '# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\nused_cpu_sys_children:9\r\nused_cpu_user_children:9\r\n';
  expect(redisMs(info)).toBe(3_750);
});
