import type { V1Scale } from '@kubernetes/client-node';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { deploymentName, type PoolName, poolLabels } from '../../deploy/names.ts';
import { ApiCallError, type ApiClient, type ClientTime } from './api-client.ts';
import { describeFailure } from './describe-failure.ts';

/** Times that a Deployment may be changed by others while its size is set. */
const MOST_CONFLICTS = 5;
const FIRST_CONFLICT_PAUSE_MS = 20;

/** What stands for a model in the names of its Deployments. */
export interface ScaledDeployments {
  readonly resource: string;
}

/** Sizes that cannot be read or set. */
export class ScaleError extends JanusError {
  readonly outcome: 'refused' | 'failed';

  constructor(outcome: 'refused' | 'failed', reason: string) {
    super(reason);
    this.outcome = outcome;
  }
}

export type PoolScales = Readonly<Record<PoolName, V1Scale>>;

/** Kubernetes leaves out a size of 0. */
export const replicasOf = ({ spec }: V1Scale): number => spec?.replicas ?? 0;

/** The scales of Deployments, of those that are ours. */
export class DeploymentScales {
  readonly #client: ApiClient;
  readonly #namespace: string;
  readonly #time: ClientTime;

  constructor(client: ApiClient, namespace: string, time: ClientTime) {
    this.#client = client;
    this.#namespace = namespace;
    this.#time = time;
  }

  async read(model: ScaledDeployments): Promise<PoolScales> {
    const attention = await this.#readPool(model, 'attention');
    return { attention, experts: await this.#readPool(model, 'experts') };
  }

  /** @param held as it was read; who changes it meanwhile is not overwritten, but looked at again */
  async set(model: ScaledDeployments, pool: PoolName, held: V1Scale, replicas: number): Promise<void> {
    const name = deploymentName(model.resource, pool);
    let current = held;
    for (let conflicts = 0; conflicts < MOST_CONFLICTS; conflicts += 1) {
      const body: V1Scale = { ...current, spec: { replicas } };
      try {
        await this.#client.ask((api) =>
          api.replaceNamespacedDeploymentScale({ name, namespace: this.#namespace, body }),
        );
        return;
      } catch (error) {
        if (!(error instanceof ApiCallError) || error.failure.kind !== 'conflict')
          throw this.#explain(error, name);
      }
      await this.#time.sleep(FIRST_CONFLICT_PAUSE_MS * 2 ** conflicts);
      current = await this.#readPool(model, pool);
      if (replicasOf(current) === replicas) return;
    }
    const reason = `Deployment ${name} was changed by others ${MOST_CONFLICTS} times while it was scaled; the next round tries again.`;
    throw new ScaleError('failed', reason);
  }

  async #readPool({ resource }: ScaledDeployments, pool: PoolName): Promise<V1Scale> {
    const name = deploymentName(resource, pool);
    let scale: V1Scale;
    try {
      scale = await this.#client.ask((api) =>
        api.readNamespacedDeploymentScale({ name, namespace: this.#namespace }),
      );
    } catch (error) {
      throw this.#explain(error, name);
    }
    const labels = new Set(scale.status?.selector?.split(',') ?? []);
    const lacking = Object.entries(poolLabels(resource, pool))
      .map(([key, value]) => `${key}=${value}`)
      .filter((label) => !labels.has(label));
    if (lacking.length === 0) return scale;
    const reason =
      `Deployment ${name} in ${this.#namespace} is not ours: its selector lacks ${lacking.join(', ')}. Delete it and apply ` +
      'what `janus deploy` writes, or give the model another `resource`.';
    throw new ScaleError('refused', reason);
  }

  #explain(error: unknown, name: string): unknown {
    if (!(error instanceof ApiCallError)) return error;
    const [outcome, reason] = describeFailure(error.failure);
    return new ScaleError(outcome, `Deployment ${name} in ${this.#namespace}: ${reason}`);
  }
}
