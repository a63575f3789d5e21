import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { checkLayout, checkPlacement, type Layout, type Placement } from './layout.ts';
import { indexLayout } from './layout-index.ts';

const layoutOf = (capacity: number, ...slots: number[][]): Layout => ({
  instances: slots.length,
  capacity,
  slots,
});

const placement: Placement = {
  version: 3,
  model: 'small',
  experts: 3,
  capacity: 2,
  instances: [
    { id: 0, host: 'a' },
    { id: 1, host: 'b' },
  ],
  layers: [layoutOf(2, [0, 1], [1, 2]), layoutOf(2, [0, 2], [1])],
};

test('a placement that survives JSON passes the checker', () => {
  expect(() => checkPlacement(JSON.parse(JSON.stringify(placement)) as Placement)).not.toThrow();
});

test.each([
  [
    'two replicas of one expert on one instance',
    layoutOf(3, [0, 1, 1], [2]),
    /instance 0 holds expert 1 twice/,
  ],
  ['an expert without a replica', layoutOf(2, [0, 1], [1]), /expert 2 has no replica/],
  [
    'an instance over its capacity',
    layoutOf(2, [0], [0, 1, 2]),
    /instance 1 holds 3 experts but has 2 slots/,
  ],
  ['an unknown expert', layoutOf(2, [0, 1], [2, 3]), /instance 1 holds unknown expert 3; ids go from 0 to 2/],
  ['a negative expert id', layoutOf(2, [-1, 1], [0, 2]), /unknown expert -1/],
  ['experts out of order', layoutOf(2, [1, 0], [2]), /instance 0 lists its experts out of order/],
  [
    'an instance without a list',
    { instances: 3, capacity: 2, slots: [[0, 1], [2]] },
    /lists 2 instances instead of 3/,
  ],
])('the checker rejects %s', (_, layout, message) => {
  const check = () => checkLayout(layout, 3);
  expect(check).toThrow(JanusError);
  expect(check).toThrow(message);
});

test('the placement checker names the layer at fault', () => {
  const layers = [placement.layers[0], layoutOf(2, [0], [1])];
  expect(() => checkPlacement({ ...placement, layers })).toThrow(
    /version 3, layer 1: expert 2 has no replica/,
  );
});

test('the placement checker rejects a layer that was laid out for another pool', () => {
  const layers = [layoutOf(2, [0, 1], [2], [])];
  expect(() => checkPlacement({ ...placement, layers })).toThrow(/layer 0: laid out for 3 instances/);
});

test('the placement checker rejects instance ids with gaps, and no instances at all', () => {
  const instances = [
    { id: 0, host: 'a' },
    { id: 2, host: 'b' },
  ];
  expect(() => checkPlacement({ ...placement, instances })).toThrow(/instances\[1\].id is 2/);
  expect(() => checkPlacement({ ...placement, instances: [], layers: [] })).toThrow(/at least one/);
});

test('the index lists hosts ascending and experts by replica count, then id', () => {
  const index = indexLayout(layoutOf(3, [0, 1, 3], [0, 2], [0, 1]), 4);
  expect([...index.hostOffsets]).toEqual([0, 3, 5, 6, 7]);
  expect([...index.hostInstances]).toEqual([0, 1, 2, 0, 2, 1, 0]);
  expect([...index.replicas]).toEqual([3, 2, 1, 1]);
  expect([...index.order]).toEqual([2, 3, 1, 0]);
});

test('the index lists what each instance holds by replica number', () => {
  const index = indexLayout(layoutOf(3, [0, 1, 3], [], [0, 2]), 4);
  expect([...index.hostInstances]).toEqual([0, 2, 0, 2, 0]);
  expect([...index.replicaExpert]).toEqual([0, 0, 1, 2, 3]);
  expect([...index.heldOffsets]).toEqual([0, 3, 3, 5]);
  expect([...index.heldReplicas]).toEqual([0, 2, 4, 1, 3]);
});

test('a layout that lost an instance can be indexed, a faulty one cannot', () => {
  expect([...indexLayout(layoutOf(2, [], [1, 2]), 3).replicas]).toEqual([0, 1, 1]);
  expect(() => indexLayout(layoutOf(2, [0, 0]), 3)).toThrow(JanusError);
});
