import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { checkLayout, checkPlacement } from '../scheduler/layout.ts';
import { indexLayout } from '../scheduler/layout-index.ts';
import { placeReplicas, staticPlacement } from './placement.ts';
import { replicaCounts } from './replicas.ts';

/** [E, E] symmetric matrix with the named pairs set. */
function coActivationOf(experts: number, pairs: [number, number, number][]): Float64Array {
  const matrix = new Float64Array(experts * experts);
  for (const [a, b, value] of pairs) {
    matrix[a * experts + b] = value;
    matrix[b * experts + a] = value;
  }
  return matrix;
}

test('experts that are activated together are placed apart', () => {
  const layout = placeReplicas({
    replicas: Int32Array.of(1, 1, 1, 1),
    loads: [4, 3, 2, 1],
    coActivation: coActivationOf(4, [
      [0, 1, 1],
      [0, 2, 9],
      [1, 3, 9],
    ]),
    instances: 2,
    capacity: 2,
  });
  expect(layout.slots).toEqual([
    [0, 3],
    [1, 2],
  ]);
});

test('without co-activation, heavy replicas are dealt out first and ties go to fewer used slots, then lowest id', () => {
  const layout = placeReplicas({
    replicas: Int32Array.of(1, 1, 2, 1),
    loads: [1, 5, 8, 3],
    instances: 2,
    capacity: 3,
  });
  // Per replica: expert 1 has 5, expert 2 has 4 twice, expert 3 has 3, expert 0 has 1.
  expect(layout.slots).toEqual([
    [0, 1, 2],
    [2, 3],
  ]);
});

// In each case instance 0 is full with 0, 2, 3 and instance 1 holds 1 and 4 when expert 4 wants its second replica.
test.each<[string, [number, number, number][], number[][]]>([
  [
    'the one that costs nothing where it goes',
    [
      [1, 2, 5],
      [1, 3, 5],
    ],
    [
      [2, 3, 4],
      [0, 1, 4],
    ],
  ],
  [
    'the one that relieves the instance it leaves',
    [
      [1, 3, 5],
      [2, 3, 2],
    ],
    [
      [0, 3, 4],
      [1, 2, 4],
    ],
  ],
  [
    'the first found among equals',
    [[1, 3, 5]],
    [
      [2, 3, 4],
      [0, 1, 4],
    ],
  ],
])(
  'where every free slot is beside another replica of the expert, room is made by moving %s',
  (_, pairs, slots) => {
    const layout = placeReplicas({
      replicas: Int32Array.of(1, 1, 1, 1, 2),
      loads: [10, 9, 8, 7, 2],
      coActivation: coActivationOf(5, pairs),
      instances: 2,
      capacity: 3,
    });
    expect(layout.slots).toEqual(slots);
  },
);

test('replicas of equal load are placed in order of expert id', () => {
  const layout = placeReplicas({
    replicas: Int32Array.of(2, 1, 1),
    loads: [1, 1, 1],
    instances: 2,
    capacity: 2,
  });
  expect(layout.slots).toEqual([
    [0, 1],
    [0, 2],
  ]);
});

test('any placement passes the checker and keeps the replica counts', () => {
  const problem = fc
    .record({ instances: fc.integer({ min: 1, max: 6 }), capacity: fc.integer({ min: 1, max: 5 }) })
    .chain(({ instances, capacity }) =>
      fc.record({
        instances: fc.constant(instances),
        capacity: fc.constant(capacity),
        loads: fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: instances * capacity }),
        pairs: fc.array(fc.tuple(fc.nat({ max: 29 }), fc.nat({ max: 29 }), fc.nat({ max: 9 })), {
          maxLength: 60,
        }),
      }),
    );
  fc.assert(
    fc.property(problem, ({ instances, capacity, loads, pairs }) => {
      const experts = loads.length;
      const replicas = replicaCounts(loads, instances, capacity);
      const known = pairs.filter(([a, b]) => a < experts && b < experts);
      const coActivation = coActivationOf(experts, known);
      const layout = placeReplicas({ replicas, loads, coActivation, instances, capacity });
      checkLayout(layout, experts);
      expect(indexLayout(layout, experts).replicas).toEqual(replicas);
    }),
    { numRuns: 500 },
  );
});

test('a static placement is even, valid in every layer and survives JSON', () => {
  const instances = Array.from({ length: 16 }, (_, id) => ({ id, host: `host-${id % 4}` }));
  const options = { version: 1, model: 'large', layers: 3, experts: 160, capacity: 12, instances };
  const placement = JSON.parse(JSON.stringify(staticPlacement(options)));
  checkPlacement(placement);
  expect(placement).toMatchObject({ version: 1, model: 'large', experts: 160, capacity: 12, instances });
  expect(placement.layers).toHaveLength(3);
  expect(placement.layers[2].slots.map((held: number[]) => held.length)).toEqual(new Array(16).fill(12));
});

test('a static placement with too few slots or misnumbered instances is refused', () => {
  const options = { version: 1, model: 'small', layers: 1, experts: 8, capacity: 3 };
  const instances = [
    { id: 0, host: 'a' },
    { id: 1, host: 'a' },
  ];
  expect(() => staticPlacement({ ...options, instances })).toThrow(
    /2 expert instances × capacity 3 = 6 slots/,
  );
  expect(() => staticPlacement({ ...options, capacity: 4, instances: instances.toReversed() })).toThrow(
    /instances\[0\].id is 1/,
  );
});

test.each([
  ['more replicas of an expert than instances', { replicas: Int32Array.of(3, 1) }, /replicas\[0\] is 3/],
  ['an expert without replicas', { replicas: Int32Array.of(0, 1) }, /replicas\[0\] is 0/],
  [
    'more replicas than slots',
    { replicas: Int32Array.of(2, 2), capacity: 1 },
    /4 replicas exceed 2 expert instances/,
  ],
  ['loads of another model', { loads: [1, 1, 1] }, /loads 3/],
  ['a matrix of another model', { coActivation: new Float64Array(9) }, /coActivation 9/],
  ['a matrix with a hole', { coActivation: Float64Array.of(0, 0, Number.NaN, 0) }, /experts 1 and 0 is NaN/],
  ['a load that is no number', { loads: [1, Number.NaN] }, /loads\[1\] is NaN/],
])('%s is refused', (_, change, message) => {
  const problem = { replicas: Int32Array.of(1, 1), loads: [1, 1], instances: 2, capacity: 2 };
  const place = () => placeReplicas({ ...problem, ...change });
  expect(place).toThrow(JanusError);
  expect(place).toThrow(message);
});
