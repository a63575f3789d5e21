import { describe, expect, it } from 'vitest';
import {
  ACCOUNT,
  EXPERTS,
  MANIFESTS,
  MODEL,
  useActuatorBed,
} from '../../test/support/kubernetes/actuator-bed.ts';
import { startKubernetesApi } from '../../test/support/kubernetes/api-server.ts';

const bed = useActuatorBed();

describe('sizes', () => {
  it('are those of the Deployments, and are set where they differ', async () => {
    expect(await bed.actuator.read(MODEL)).toEqual({ attention: 1, experts: 1 });
    expect(await bed.apply(2, 5)).toEqual({
      kind: 'applied',
      from: { attention: 1, experts: 1 },
      sizes: { attention: 2, experts: 5 },
    });
    expect(bed.held()).toEqual({ attention: 2, experts: 5 });
    const before = bed.api.requests.length;
    expect(await bed.apply(2, 5)).toEqual({ kind: 'unchanged', sizes: { attention: 2, experts: 5 } });
    expect(bed.api.requests.slice(before).map(({ method }) => method)).toEqual(['GET', 'GET']);
    expect(await bed.apply(1, 5)).toMatchObject({ kind: 'applied' });
    expect(bed.api.requests.slice(before + 2).map(({ method }) => method)).toEqual(['GET', 'GET', 'PUT']);
  });

  it('stay within the bounds of the model, and survive that the manifests are applied again', async () => {
    expect(await bed.apply(9, 99)).toMatchObject({ sizes: { attention: 4, experts: 8 } });
    bed.api.apply(MANIFESTS);
    expect(bed.held()).toEqual({ attention: 4, experts: 8 });
    expect(await bed.apply(0, 0)).toMatchObject({ sizes: { attention: 1, experts: 2 } });
    expect(bed.held()).toEqual({ attention: 1, experts: 2 });
  });

  it('of a model that is none of the configuration are not known', async () => {
    expect(await bed.actuator.read('other')).toBeNull();
    expect(await bed.actuator.apply('other', { attention: 1, experts: 1 })).toMatchObject({
      kind: 'refused',
    });
    expect(bed.api.requests).toEqual([]);
  });
});

describe('what others do', () => {
  it('is not overwritten unseen: after a conflict it looks again', async () => {
    bed.api.meddle(1, () => bed.api.apply([bed.expertsWith({ replicas: 7 })]));
    expect(await bed.apply(1, 4)).toMatchObject({ kind: 'applied' });
    expect(bed.held()).toEqual({ attention: 1, experts: 4 });
    expect(bed.statuses()).toEqual([200, 200, 409, 200, 200]);
  });

  it('is left alone after some conflicts, until the next round', async () => {
    bed.api.meddle(99, () => bed.api.apply(MANIFESTS));
    expect(await bed.apply(1, 4)).toEqual({
      kind: 'failed',
      reason: expect.stringContaining(`${EXPERTS} was changed by others 5 times`),
    });
    expect(bed.pauses).toEqual([20, 40, 80, 160, 320]);
    bed.api.meddle(0, () => {});
    expect(await bed.apply(1, 4)).toMatchObject({ kind: 'applied' });
  });

  it.each([
    ['another model', { 'janus.dev/model': 'other' }],
    ['another owner', { 'app.kubernetes.io/managed-by': 'helm' }],
    ['the other pool', { 'janus.dev/pool': 'attention' }],
  ])('is not ours to scale: a Deployment whose selector names %s', async (_, labels) => {
    const { matchLabels } = bed.expertsWith({}).spec!.selector;
    bed.api.apply([bed.expertsWith({ selector: { matchLabels: { ...matchLabels, ...labels } } })]);
    const outcome = await bed.apply(3, 4);
    expect(outcome).toEqual({
      kind: 'refused',
      reason: expect.stringContaining(`${EXPERTS} in serving is not ours: its selector lacks `),
    });
    expect(bed.held()).toEqual({ attention: 1, experts: 1 });
    await expect(bed.actuator.read(MODEL)).rejects.toThrow('is not ours');
  });
});

describe('a busy API server', () => {
  it('is asked again when it says, and not before', async () => {
    bed.api.throttle(2, 3);
    expect(await bed.apply(2, 2)).toMatchObject({ kind: 'applied' });
    expect(bed.pauses).toEqual([3_000, 3_000]);
  });

  it('is asked again after a second where it does not say, and given up after some attempts', async () => {
    bed.api.throttle(4);
    const outcome = await bed.apply(2, 2);
    expect(outcome).toEqual({ kind: 'failed', reason: expect.stringContaining('wants no requests') });
    expect(bed.pauses).toEqual([1_000, 1_000, 1_000]);
    expect(bed.statuses()).toEqual([429, 429, 429, 429]);
  });

  it('that wants to be left alone for long is, over the rounds', async () => {
    bed.api.throttle(1, 60);
    expect(await bed.apply(2, 2)).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('for 60 s'),
    });
    bed.pass(50_000);
    expect(await bed.apply(2, 2)).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('for 10 s'),
    });
    expect(bed.statuses()).toEqual([429]);
    bed.pass(10_000);
    expect(await bed.apply(2, 2)).toMatchObject({ kind: 'applied' });
  });
});

describe('an API server that does not answer', () => {
  it('fails the round, and nothing else', async () => {
    bed.api.break(1, 500);
    expect(await bed.apply(2, 2)).toEqual({
      kind: 'failed',
      reason: expect.stringContaining('500: etcdserver: leader changed'),
    });
    expect(await bed.apply(2, 2)).toMatchObject({ kind: 'applied' });
  });

  it('is told of with its error and what to do', async () => {
    const closed = await startKubernetesApi();
    await closed.close();
    bed.ask(closed.url);
    expect(await bed.apply(2, 2)).toEqual({
      kind: 'failed',
      reason: expect.stringMatching(/cannot be reached \(.*ECONNREFUSED.*\)\. The next round tries again/),
    });
  });
});

it('a Deployment that is not there is told of', async () => {
  const empty = await startKubernetesApi();
  try {
    empty.issue('first', ACCOUNT);
    empty.apply(MANIFESTS.filter(({ kind }) => kind !== 'Deployment'));
    bed.ask(empty.url);
    expect(await bed.apply(2, 2)).toEqual({
      kind: 'refused',
      reason: expect.stringMatching(/^Deployment \S+ in serving: it is not there/),
    });
  } finally {
    await empty.close();
  }
});
