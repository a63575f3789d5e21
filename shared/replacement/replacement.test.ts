import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { staticPlacement } from '../placement/placement.ts';
import type { ExpertInstanceRecord, HostRecord } from '../protocol/member.ts';
import { checkPlacement, type Placement } from '../scheduler/layout.ts';
import { emergencyPlacement, lostInstances, reducedPlacement } from './loss.ts';
import { atInstances, onlyInstances, withInstances } from './numbering.ts';
import { ReplicaSet, replicasOf, replicasToDrop, replicasToLoad } from './replica-set.ts';
import { MOST_PLACED_INSTANCES, restoredPlacement, seatOffers } from './restoration.ts';
import {
  hasSameSeat,
  isEmptied,
  MOST_SERVED_VERSIONS,
  mayFlip,
  oldestInUse,
  reasonToAbandon,
  servingHosts,
  versionsToServe,
  WANTED_LIMIT_MS,
  type WantedPlacement,
} from './transition.ts';

const EXPERTS = 8;
const LAYERS = 3;

/** Hosts of two instances each. */
function placed(hosts: number, capacity: number): Placement {
  return staticPlacement({
    version: 5,
    model: 'm',
    layers: LAYERS,
    experts: EXPERTS,
    capacity,
    instances: Array.from({ length: 2 * hosts }, (_, id) => ({ id, host: `h${id >> 1}` })),
  });
}

function member(host: string, overrides: Partial<HostRecord> = {}): HostRecord {
  const experts: Partial<ExpertInstanceRecord>[] = [0, 1].map((i) => ({
    id: 2 * Number(host.slice(1)) + i,
    state: 'ready',
  }));
  return { host, role: 'experts', experts, ...overrides } as HostRecord;
}

const slotsPerInstance = (placement: Placement, id: number) =>
  placement.layers.map(({ slots }) => slots[id]!.length);

describe('the replicas of a host', () => {
  test('are loaded before and dropped after a change, each once', () => {
    const [from, to] = [placed(2, 4), placed(2, 5)];
    const model = { layers: LAYERS, experts: EXPERTS };
    const held = new ReplicaSet(model);
    for (const replica of replicasToLoad(held, from, 'h1')) held.add(replica);
    expect(held.size).toBe(replicasOf(from, 'h1').length);
    const load = replicasToLoad(held, to, 'h1');
    expect(load.length).toBeGreaterThan(0);
    for (const replica of load) held.add(replica);
    expect(replicasToDrop(held, [from, to], 'h1', model)).toEqual([]);
    for (const replica of replicasToDrop(held, [to], 'h1', model)) held.delete(replica);
    const order = ({ layer, instance, expert }: { layer: number; instance: number; expert: number }) =>
      `${layer} ${instance} ${expert}`;
    expect([...held].map(order).sort()).toEqual(replicasOf(to, 'h1').map(order).sort());
  });
});

describe('a wanted placement', () => {
  const wanted: WantedPlacement = {
    placement: { ...placed(2, 5), version: 7 },
    from: 5,
    hosts: ['h0', 'h1'],
    publishedAtMs: 1_000,
  };

  test('comes in force when it follows the one in force and all hosts have acknowledged it', () => {
    expect(mayFlip(wanted, 5, new Set(['h0', 'h1', 'h9']))).toBe(true);
    expect(mayFlip(wanted, 5, new Set(['h1']))).toBe(false);
    expect(mayFlip(wanted, 6, new Set(['h0', 'h1']))).toBe(false);
  });

  test('is given up when another came in force, a host of it died or time is over', () => {
    const living = new Set(['h0', 'h1']);
    expect(reasonToAbandon(wanted, 5, living, 1_000 + WANTED_LIMIT_MS)).toBeNull();
    expect(reasonToAbandon(wanted, 5, living, 1_001 + WANTED_LIMIT_MS)).toMatch(/not loaded within 120 s/);
    expect(reasonToAbandon(wanted, 6, living, 1_000)).toMatch(/version 6 came in force/);
    expect(reasonToAbandon(wanted, 5, new Set(['h0']), 1_000)).toMatch(/host h1 of version 7 has died/);
  });

  test('is served beside what attention hosts still use, and no more versions than the bound', () => {
    const using = (version: number) =>
      member('a', { role: 'attention', placement: { version, prepared: null, spareSlots: 0 } });
    expect(oldestInUse(6, [using(6), using(4), member('h0')])).toBe(4);
    expect(oldestInUse(6, [member('a', { role: 'attention' })])).toBe(6);
    expect(versionsToServe([4, 5, 6, 7, 9], 6, 7, 5)).toEqual([7, 6, 5]);
    expect(versionsToServe([4, 5, 6, 9], 6, null, 6)).toEqual([6]);
    expect(versionsToServe([1, 2, 3, 4, 5, 6], 6, null, 1)).toHaveLength(MOST_SERVED_VERSIONS);
  });
});

describe('the loss of instances', () => {
  test('is told by records that are missing or say so, and by reports of the same version', () => {
    const placement = placed(3, 4);
    const gone = member('h1', {
      experts: [
        { id: 2, state: 'ready' },
        { id: 3, state: 'gone' },
      ] as ExpertInstanceRecord[],
    });
    const members = [member('h0'), gone, member('h2')];
    expect(lostInstances(placement, members, [])).toEqual([3]);
    expect(lostInstances(placement, [gone, member('h2')], [])).toEqual([0, 1, 3]);
    const told = { host: 'h2', instance: 4, version: 5 };
    expect(lostInstances(placement, members, [told])).toEqual([3, 4]);
    expect(lostInstances(placement, members, [{ ...told, instance: null }])).toEqual([3, 4, 5]);
    expect(lostInstances(placement, members, [{ ...told, version: 4 }])).toEqual([3]);
  });

  test('leaves a placement that hosts hold already, or none where an expert has no other replica', () => {
    const reduced = reducedPlacement(placed(2, 8), [2, 3], 6)!;
    checkPlacement(reduced);
    expect(reduced.version).toBe(6);
    expect(servingHosts(reduced)).toEqual(['h0']);
    expect(isEmptied(reduced, 3)).toBe(true);
    expect(hasSameSeat('h0', placed(2, 8), reduced)).toBe(true);
    expect(lostInstances(reduced, [member('h0')], [])).toEqual([]);
    expect(reducedPlacement(placed(2, 2), [0], 6)).toBeNull();
  });

  test('is made up for in an emergency, where there is room, and undone when a host joins', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 5 }), fc.integer({ min: 2, max: 8 }), (hosts, capacity) => {
        if (2 * hosts * capacity < EXPERTS) return;
        const placement = placed(hosts, capacity);
        const emergency = emergencyPlacement(placement, [0, 1], 6, () => EXPERTS)!;
        checkPlacement(emergency);
        expect(isEmptied(emergency, 0) && isEmptied(emergency, 1)).toBe(true);
        const living = Array.from({ length: hosts }, (_, host) => ({ host: `h${host + 1}`, instances: 2 }));
        const restored = restoredPlacement(emergency, living, capacity, 7);
        checkPlacement(restored!);
        expect(restored!.capacity).toBe(capacity);
        // The one that joined has the numbers of the one that died.
        expect(restored!.instances.slice(0, 2).map(({ host }) => host)).toEqual([`h${hosts}`, `h${hosts}`]);
        expect(restoredPlacement(restored!, living, capacity, 8)).toBeNull();
      }),
    );
    expect(emergencyPlacement(placed(2, 2), [0], 6, () => 2)).toBeNull();
  });
});

describe('instances', () => {
  test('are planned for alone and put back among those that hold nothing', () => {
    const placement = reducedPlacement(placed(3, 8), [2, 3], 6)!;
    const living = [0, 1, 4, 5];
    const alone = onlyInstances(placement, living);
    checkPlacement(alone);
    expect(alone.instances.map(({ host }) => host)).toEqual(['h0', 'h0', 'h2', 'h2']);
    expect(atInstances(alone, living, placement.instances)).toEqual(placement);
    const wider = withInstances(placement, [...placement.instances, { id: 6, host: 'new' }]);
    checkPlacement(wider);
    expect(isEmptied(wider, 6)).toBe(true);
  });
});

describe('a host that joins', () => {
  test('gets numbers behind the others, up to the bound, and replicas of experts that have fewest', () => {
    const placement = placed(2, 2);
    const offers = [
      { host: 'h0', instances: 2 },
      { host: 'h1', instances: 2 },
      { host: 'new', instances: 1 },
    ];
    const restored = restoredPlacement(placement, offers, 2, 6)!;
    checkPlacement(restored);
    expect(restored.instances.at(-1)).toEqual({ id: 4, host: 'new' });
    expect(slotsPerInstance(restored, 4)).toEqual([2, 2, 2]);
    expect(restored.layers.map(({ slots }) => slots.slice(0, 4))).toEqual(
      placement.layers.map(({ slots }) => slots),
    );
    const many = [...offers, { host: 'huge', instances: MOST_PLACED_INSTANCES }];
    expect(seatOffers(placement, many).some(({ host }) => host === 'huge')).toBe(false);
  });
});
