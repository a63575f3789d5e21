import { expect, test } from 'vitest';
import type { HostRecord } from '../../shared/protocol/member.ts';
import { RecentMembers } from './recent-members.ts';

const record = (host: string) => ({ host }) as HostRecord;
const hosts = (records: readonly HostRecord[]) => records.map(({ host }) => host);

test('a host counts as there for a heartbeat after it was missed first, however long nobody looked', () => {
  const recent = new RecentMembers();
  expect(hosts(recent.with([record('a'), record('b')], 0))).toEqual(['a', 'b']);
  expect(hosts(recent.with([record('a')], 60_000))).toEqual(['a', 'b']);
  expect(hosts(recent.with([record('a')], 61_400))).toEqual(['a', 'b']);
  expect(hosts(recent.with([record('a')], 61_500))).toEqual(['a']);
  expect(hosts(recent.with([record('a')], 61_600))).toEqual(['a']);
  // One that came back in time begins anew.
  recent.with([record('b')], 61_700);
  recent.with([], 61_800);
  recent.with([record('b')], 62_000);
  expect(hosts(recent.with([], 63_250))).toEqual(['b']);
});

test('a host whose record stays what it was counts as not renewed, before the record ends', () => {
  const recent = new RecentMembers();
  const beat = (host: string, heartbeatAtMs: number) => ({ host, heartbeatAtMs }) as HostRecord;
  const renewed = (members: readonly HostRecord[], nowMs: number) => {
    recent.with(members, nowMs);
    return hosts(recent.renewed(members, nowMs));
  };
  expect(renewed([beat('a', 1), beat('b', 1)], 0)).toEqual(['a', 'b']);
  expect(renewed([beat('a', 2), beat('b', 1)], 2_400)).toEqual(['a', 'b']);
  expect(renewed([beat('a', 2), beat('b', 1)], 2_500)).toEqual(['a']);
  expect(renewed([beat('a', 3), beat('b', 9)], 5_000)).toEqual(['a', 'b']);
});
