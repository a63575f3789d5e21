import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HostRecord, InstanceState } from '../../shared/protocol/member.ts';
import { type HostProbe, startHostProbe } from './host-probe.ts';

let probe: HostProbe;
let states: InstanceState[];

/** A host's record as far as a probe reads it. */
const record = (): Pick<HostRecord, 'attention' | 'experts'> => ({
  attention: [],
  experts: states.map((state, id) => ({
    id,
    state,
    slots: 1,
    layerSteps: 0,
    meanActivated: 0,
    maxActivated: 0,
    groups: 0,
    groupsMs: 0,
  })),
});

beforeEach(async () => {
  states = ['ready'];
  probe = await startHostProbe(0);
});
afterEach(() => probe.close());

const ask = (path: string) => fetch(`http://127.0.0.1:${probe.port}${path}`);
const answers = async () => [(await ask('/health')).status, (await ask('/ready')).status];

it('a host that starts is alive and not ready', async () => {
  expect(await answers()).toEqual([200, 503]);
  expect(await (await ask('/ready')).json()).toEqual({ phase: 'starting', instances: [] });
  expect((await ask('/')).status).toBe(404);
  expect((await ask('/constructor')).status).toBe(404);
});

it.each<[InstanceState[], number[]]>([
  [[], [200, 503]],
  [['ready'], [200, 200]],
  [
    ['ready', 'loading'],
    [200, 503],
  ],
  [
    ['ready', 'gone'],
    [200, 503],
  ],
  [
    ['gone', 'gone'],
    [503, 503],
  ],
])('with instances that are %j it answers %j', async (held, expected) => {
  states = held;
  probe.watch(record);
  expect(await answers()).toEqual(expected);
});

it('a host that drains is alive and not ready any more', async () => {
  probe.watch(record);
  expect(await answers()).toEqual([200, 200]);
  probe.drain();
  expect(await answers()).toEqual([200, 503]);
  expect(await (await ask('/ready')).json()).toMatchObject({ phase: 'draining' });
});

it('a port that somebody has is told with the flag', async () => {
  await expect(startHostProbe(probe.port)).rejects.toThrow(
    new RegExp(`^--probe-port is ${probe.port}, .*EADDRINUSE`),
  );
});
