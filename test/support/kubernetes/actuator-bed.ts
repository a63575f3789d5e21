import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Deployment, V1DeploymentSpec } from '@kubernetes/client-node';
import { afterEach, beforeEach } from 'vitest';
import type { Actuator, ActuatorOutcome } from '../../../infra/actuators/actuator.ts';
import { createKubernetesActuator } from '../../../infra/actuators/kubernetes.ts';
import { parseDeployConfig } from '../../../infra/deploy/load-config.ts';
import { manifests } from '../../../infra/deploy/manifests.ts';
import { poolDeployment } from '../../../infra/deploy/pool-manifests.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { type KubernetesApi, startKubernetesApi } from './api-server.ts';

export const MODEL = 'Org/Model-7B';
const ATTENTION = 'janus-org-model-7b-attention';
export const EXPERTS = 'janus-org-model-7b-experts';
export const ACCOUNT = { namespace: 'serving', name: 'janus-scaler' };

const config = parseDeployConfig(
  {
    namespace: 'serving',
    image: 'janus',
    redis: { secret: 'redis' },
    models: [
      {
        name: MODEL,
        folder: '/model',
        attention: { least: 1, most: 4 },
        experts: { least: 2, most: 8, slots: 16 },
      },
    ],
  },
  'test',
);
export const MANIFESTS = manifests(config);

/** An actuator that asks an API server on this machine, to which the manifests were applied. */
export interface ActuatorBed {
  readonly api: KubernetesApi;
  readonly actuator: Actuator;
  /** Pauses that the actuator made; no time passes but in them and in `pass`. */
  readonly pauses: readonly number[];
  pass(ms: number): void;
  /** From now on the actuator is another one, which asks there. */
  ask(url: string): void;
  apply(attention: number, experts: number): Promise<ActuatorOutcome>;
  /** Replicas of the Deployments. */
  held(): PoolSizes;
  /** Statuses of all answers so far. */
  statuses(): number[];
  /** The expert pool's Deployment, changed by somebody else. */
  expertsWith(spec: Partial<V1DeploymentSpec>): V1Deployment;
  /** Into the file from which the actuator reads it; `first` in the beginning. */
  writeToken(token: string): void;
  removeToken(): void;
}

/** A bed of its own for each test of a file. */
export function useActuatorBed(): ActuatorBed {
  let api: KubernetesApi;
  let actuator: Actuator;
  let folder: string;
  let pauses: number[];
  let nowMs: number;
  const tokenFile = () => join(folder, 'token');
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  const sleep = async (ms: number): Promise<void> => {
    pauses.push(ms);
    pass(ms);
  };
  const ask = (server: string): void => {
    actuator = createKubernetesActuator({
      cluster: { server, tokenFile: tokenFile(), caFile: null },
      namespace: config.namespace,
      models: config.models,
      time: { nowMs: () => nowMs, sleep },
    });
  };
  const writeToken = (token: string) => writeFileSync(tokenFile(), `${token}\n`);

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'janus-actuator-'));
    writeToken('first');
    api = await startKubernetesApi();
    api.apply(MANIFESTS);
    api.issue('first', ACCOUNT);
    pauses = [];
    nowMs = 0;
    ask(api.url);
  });
  afterEach(async () => {
    await api.close();
    rmSync(folder, { recursive: true });
  });

  return {
    get api() {
      return api;
    },
    get actuator() {
      return actuator;
    },
    get pauses() {
      return pauses;
    },
    pass,
    ask,
    writeToken,
    apply: (attention, experts) => actuator.apply(MODEL, { attention, experts }),
    held: () => ({
      attention: api.replicas(ACCOUNT.namespace, ATTENTION),
      experts: api.replicas(ACCOUNT.namespace, EXPERTS),
    }),
    statuses: () => api.requests.map(({ status }) => status),
    expertsWith(spec) {
      const deployment = poolDeployment(config, config.models[0]!, 'experts');
      return { ...deployment, spec: { ...deployment.spec!, ...spec } };
    },
    removeToken: () => rmSync(tokenFile()),
  };
}
