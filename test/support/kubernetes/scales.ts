import type { V1Deployment, V1Scale } from '@kubernetes/client-node';
import { validate } from 'kubernetes-models/_schemas/IoK8sApiAutoscalingV1Scale';
import { ApiError, CONFLICT_MESSAGE } from './api-error.ts';

/** Deployments of an API server, as far as their scales go. */
export class Scales {
  readonly #held = new Map<string, { deployment: V1Deployment; version: number; uid: string }>();
  #version = 1;

  /** As `kubectl apply` does: replicas that are left out stay as they are, and are 1 in the beginning. */
  apply(deployment: V1Deployment): void {
    const key = keyOf(deployment.metadata?.namespace ?? '', deployment.metadata?.name ?? '');
    const before = this.#held.get(key);
    const replicas = deployment.spec?.replicas ?? before?.deployment.spec?.replicas ?? 1;
    this.#version += 1;
    this.#held.set(key, {
      deployment: { ...deployment, spec: { ...deployment.spec!, replicas } },
      version: this.#version,
      uid: before?.uid ?? `uid-${this.#version}`,
    });
  }

  /** @throws ApiError 404 */
  read(namespace: string, name: string): V1Scale {
    const held = this.#held.get(keyOf(namespace, name));
    if (held === undefined) throw new ApiError(404, 'NotFound', `deployments.apps "${name}" not found`);
    const { deployment, version, uid } = held;
    const { replicas = 0, selector } = deployment.spec!;
    const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
    return {
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      metadata: { name, namespace, uid, resourceVersion: String(version) },
      // Written without its zero, as Go does.
      spec: replicas === 0 ? {} : { replicas },
      status: { replicas, selector: labels.sort().join(',') },
    };
  }

  /** @throws ApiError naming what the contract of the subresource forbids */
  replace(namespace: string, name: string, body: unknown): V1Scale {
    const scale = checkedScale(body);
    const held = this.read(namespace, name);
    const { metadata = {} } = scale;
    if (metadata.name !== name || (metadata.namespace ?? namespace) !== namespace) {
      const message = `the name of the object (${metadata.name}) does not match the name on the URL (${name})`;
      throw new ApiError(400, 'BadRequest', message);
    }
    const replicas = scale.spec?.replicas ?? 0;
    if (replicas < 0) {
      const message = `Scale.autoscaling "${name}" is invalid: spec.replicas: Invalid value: ${replicas}: must be greater than or equal to 0`;
      throw new ApiError(422, 'Invalid', message);
    }
    const { resourceVersion = '', uid = held.metadata!.uid } = metadata;
    const isStale = resourceVersion !== '' && resourceVersion !== held.metadata!.resourceVersion;
    if (isStale || uid !== held.metadata!.uid) {
      const message = `Operation cannot be fulfilled on deployments.apps "${name}": ${CONFLICT_MESSAGE}`;
      throw new ApiError(409, 'Conflict', message);
    }
    if (replicas !== (held.spec?.replicas ?? 0)) this.#setReplicas(namespace, name, replicas);
    return this.read(namespace, name);
  }

  #setReplicas(namespace: string, name: string, replicas: number): void {
    const { deployment } = this.#held.get(keyOf(namespace, name))!;
    this.apply({ ...deployment, spec: { ...deployment.spec!, replicas } });
  }
}

const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`;

function checkedScale(body: unknown): V1Scale {
  if (validate(body)) return body as V1Scale;
  throw new ApiError(400, 'BadRequest', 'Scale in version "v1" cannot be handled as a Scale');
}
