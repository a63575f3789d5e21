import { describe, expect, it } from 'vitest';
import { ACCOUNT, EXPERTS, MODEL, useActuatorBed } from '../../../test/support/kubernetes/actuator-bed.ts';
import { surroundingCluster } from './cluster.ts';

const bed = useActuatorBed();

describe('the account', () => {
  it('whose token has expired reads the next one from the file', async () => {
    expect(await bed.actuator.read(MODEL)).toEqual({ attention: 1, experts: 1 });
    bed.writeToken('second');
    bed.api.issue('second', ACCOUNT);
    expect(await bed.apply(2, 2)).toMatchObject({ kind: 'applied' });
    expect(bed.statuses()).toEqual([200, 200, 401, 200, 200, 200, 200]);
  });

  it('whose file holds no better token fails after one attempt with it', async () => {
    await bed.actuator.read(MODEL);
    bed.api.issue('second', ACCOUNT);
    expect(await bed.apply(2, 2)).toEqual({
      kind: 'failed',
      reason: expect.stringContaining('the token is not accepted, nor is that which its file holds now'),
    });
    expect(bed.statuses()).toEqual([200, 200, 401, 401]);
    bed.removeToken();
    expect(await bed.apply(2, 2)).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('token'),
    });
  });

  it('without the binding may do nothing', async () => {
    bed.api.issue('first', { ...ACCOUNT, name: 'default' });
    expect(await bed.apply(2, 2)).toEqual({
      kind: 'refused',
      reason: expect.stringMatching(/cannot get resource "deployments\/scale".*Apply Role and RoleBinding/),
    });
  });

  it.each([
    ['GET', `deployments/${EXPERTS}`],
    ['DELETE', `deployments/${EXPERTS}`],
    ['GET', 'deployments/janus-gateway/scale'],
    ['PUT', 'deployments/janus-scaler/scale'],
  ])('may do no more than scale its pools: not %s %s', async (method, path) => {
    const response = await fetch(`${bed.api.url}/apis/apps/v1/namespaces/serving/${path}`, {
      method,
      headers: { Authorization: 'Bearer first' },
    });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ kind: 'Status', reason: 'Forbidden' });
  });
});

it.each([
  [401, 'Unauthorized', { Authorization: 'Bearer none', 'Content-Type': 'application/json' }, {}],
  [415, 'UnsupportedMediaType', { 'Content-Type': 'text/plain' }, {}],
  [400, 'BadRequest', { 'Content-Type': 'application/json' }, { spec: { replicas: 'two' } }],
  [
    409,
    'Conflict',
    { 'Content-Type': 'application/json' },
    { metadata: { name: EXPERTS, resourceVersion: '1' } },
  ],
])('the API server that these tests ask keeps the contract: %i %s', async (status, reason, headers, body) => {
  const response = await fetch(
    `${bed.api.url}/apis/apps/v1/namespaces/serving/deployments/${EXPERTS}/scale`,
    {
      method: 'PUT',
      headers: { Authorization: 'Bearer first', ...headers },
      body: JSON.stringify({ apiVersion: 'autoscaling/v1', kind: 'Scale', ...body }),
    },
  );
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ kind: 'Status', status: 'Failure', reason, code: status });
});

describe('the cluster around a pod', () => {
  it.each([
    ['10.0.0.1', 'https://10.0.0.1:443'],
    ['fd00::1', 'https://[fd00::1]:443'],
  ])('is at the address that the pod is told, %s', (host, server) => {
    const environment = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: '443' };
    expect(surroundingCluster(environment)).toMatchObject({
      server,
      caFile: expect.stringMatching(/ca\.crt$/),
    });
  });

  it('is none outside of one: then it has to be named', () => {
    expect(() => surroundingCluster({})).toThrow(/--api-server/);
  });
});
