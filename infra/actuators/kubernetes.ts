import { JanusError } from '../../shared/errors/janus-error.ts';
import type { PoolSizes } from '../../shared/scaling/solver.ts';
import { POOLS, type PoolName } from '../deploy/names.ts';
import type { Actuator, ActuatorOutcome } from './actuator.ts';
import { ApiClient, type ClientTime } from './kubernetes/api-client.ts';
import type { Cluster } from './kubernetes/cluster.ts';
import {
  DeploymentScales,
  type PoolScales,
  replicasOf,
  type ScaledDeployments,
  ScaleError,
} from './kubernetes/deployment-scales.ts';

/** A model, as far as its pools are scaled. */
export type ScaledModel = ScaledDeployments & {
  readonly name: string;
} & Readonly<Record<PoolName, { readonly least: number; readonly most: number }>>;

export interface KubernetesActuatorOptions {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly models: readonly ScaledModel[];
  readonly time: ClientTime;
}

/**
 * Sets the scale of the Deployments of a model's pools, one replica per instance, within the model's bounds. It changes nothing
 * but Deployments whose selectors say that they are the model's; pods that are to go are told so by Kubernetes, and drain.
 */
export function createKubernetesActuator(options: KubernetesActuatorOptions): Actuator {
  const { cluster, namespace, models, time } = options;
  const scales = new DeploymentScales(new ApiClient(cluster, time), namespace, time);
  const find = (name: string) => models.find((model) => model.name === name);
  return {
    name: 'kubernetes',
    async read(name) {
      const model = find(name);
      return model === undefined ? null : sizesOf(await scales.read(model));
    },
    async apply(name, wanted) {
      const model = find(name);
      if (model === undefined) {
        return {
          kind: 'refused',
          reason: `${name} is none of the models of the deployment: add it to \`models\`.`,
        };
      }
      try {
        return await setSizes(scales, model, within(model, wanted));
      } catch (error) {
        if (error instanceof ScaleError) return { kind: error.outcome, reason: error.message };
        if (error instanceof JanusError) return { kind: 'refused', reason: error.message };
        throw error;
      }
    },
  };
}

/** Both are looked at before either is changed, so that what is refused leaves both as they are. */
async function setSizes(
  scales: DeploymentScales,
  model: ScaledModel,
  wanted: PoolSizes,
): Promise<ActuatorOutcome> {
  const held = await scales.read(model);
  const from = sizesOf(held);
  for (const pool of POOLS) {
    if (from[pool] !== wanted[pool]) await scales.set(model, pool, held[pool], wanted[pool]);
  }
  const isSame = POOLS.every((pool) => from[pool] === wanted[pool]);
  return isSame ? { kind: 'unchanged', sizes: from } : { kind: 'applied', from, sizes: wanted };
}

function within(model: ScaledModel, wanted: PoolSizes): PoolSizes {
  const bounded = (pool: PoolName) => Math.min(model[pool].most, Math.max(model[pool].least, wanted[pool]));
  return { attention: bounded('attention'), experts: bounded('experts') };
}

const sizesOf = ({ attention, experts }: PoolScales): PoolSizes => ({
  attention: replicasOf(attention),
  experts: replicasOf(experts),
});
