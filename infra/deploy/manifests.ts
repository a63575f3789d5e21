import type { KubernetesObject } from '@kubernetes/client-node';
import type { DeployConfig } from './config.ts';
import { gatewayManifests } from './gateway-manifests.ts';
import { POOLS } from './names.ts';
import { poolDeployment } from './pool-manifests.ts';
import { scalerManifests } from './scaler-manifests.ts';

/** Everything that Janus runs in a cluster. Namespace, claims and the Secret of Redis are not among it: others own them. */
export const manifests = (config: DeployConfig): KubernetesObject[] => [
  ...scalerManifests(config),
  ...config.models.flatMap((model) => POOLS.map((pool) => poolDeployment(config, model, pool))),
  ...gatewayManifests(config),
];
