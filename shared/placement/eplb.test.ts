import { expect, test } from 'vitest';
import { JanusError } from '../errors/janus-error.ts';
import { checkLayout } from '../scheduler/layout.ts';
import { balanceExperts, eplbLayout } from './eplb.ts';
import vectors from './vectors/eplb.json' with { type: 'json' };

test.each(['hierarchical', 'global'] as const)(
  'the %s policy gives the published example exactly',
  (policy) => {
    const { num_replicas, num_groups, num_nodes, num_gpus, phy2log, logcnt } = vectors[policy];
    const options = { replicas: num_replicas, groups: num_groups, nodes: num_nodes, gpus: num_gpus };
    const results = vectors.weight.map((loads) => balanceExperts(loads, options));
    expect(results.map((result) => [...result.physicalToLogical])).toEqual(phy2log);
    expect(results.map((result) => [...result.logicalCount])).toEqual(logcnt);
  },
);

test('groups that do not divide among the nodes are balanced by the global policy', () => {
  const [loads] = vectors.weight;
  const options = { replicas: 16, groups: 3, nodes: 2, gpus: 8 };
  const { physicalToLogical } = balanceExperts(loads, options);
  expect([...physicalToLogical]).toEqual(vectors.global.phy2log[0]);
});

test('both replicas of one expert on one GPU become one, so that the layout is valid', () => {
  const [loads] = vectors.weight;
  const result = balanceExperts(loads, { replicas: 16, groups: 1, nodes: 1, gpus: 8 });
  expect([...result.physicalToLogical.slice(14)]).toEqual([1, 1]);
  const layout = eplbLayout(result, 8);
  expect(layout).toMatchObject({ instances: 8, capacity: 2 });
  expect(layout.slots).toEqual([[6, 10], [7, 10], [0, 2], [4, 11], [5, 9], [4, 5], [3, 8], [1]]);
  checkLayout(layout, 12);
});

test.each([
  [{ groups: 10 }, /groups is 10/],
  [{ gpus: 5 }, /gpus is 5/],
  [{ replicas: 8 }, /replicas is 8/],
  [{ groups: 12, nodes: 3 }, /nodes is 3/],
])('%o does not divide and is refused', (change, message) => {
  const balance = () =>
    balanceExperts(vectors.weight[0], { replicas: 16, groups: 4, nodes: 2, gpus: 8, ...change });
  expect(balance).toThrow(JanusError);
  expect(balance).toThrow(message);
});
