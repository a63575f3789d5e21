import { createHash } from 'node:crypto';
import type {
  V1ConfigMap,
  V1Deployment,
  V1Role,
  V1RoleBinding,
  V1ServiceAccount,
} from '@kubernetes/client-node';
import type { DeployConfig } from './config.ts';
import { deploymentName, POOLS, partLabels, SCALER } from './names.ts';
import { type PodContainer, type PodParts, podSpec } from './pod.ts';

const CONFIG_FILE = 'janus.deploy.json';
const CONFIG_FOLDER = '/etc/janus';
const CONFIG_VOLUME = 'config';
const RBAC_GROUP = 'rbac.authorization.k8s.io';

/**
 * What chooses the sizes of the pools and, with the actuator `kubernetes`, sets them: the account for that may read and set the
 * scale of the pools' Deployments, and nothing else.
 */
export function scalerManifests(
  config: DeployConfig,
): (V1ConfigMap | V1ServiceAccount | V1Role | V1RoleBinding | V1Deployment)[] {
  const labels = partLabels(SCALER);
  const metadata = { name: SCALER, namespace: config.namespace, labels };
  const { scaler } = config;
  const decides = { name: 'scaler', args: ['scaler', 'run'], settings: scaler };
  const base = { settings: scaler, serviceAccount: null, volumes: [] };
  if (scaler.actuator === 'publish') {
    return [scalerDeployment(config, metadata, { ...base, containers: [decides] })];
  }
  const held = JSON.stringify(config);
  const parts = {
    containers: [decides, actuatorContainer(scaler)],
    settings: scaler,
    serviceAccount: SCALER,
    volumes: [{ name: CONFIG_VOLUME, configMap: { name: SCALER } }],
  };
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [CONFIG_FILE]: held } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    scaleRole(config, metadata),
    {
      apiVersion: `${RBAC_GROUP}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: RBAC_GROUP, kind: 'Role', name: SCALER },
      subjects: [{ kind: 'ServiceAccount', name: SCALER, namespace: config.namespace }],
    },
    scalerDeployment(config, metadata, parts, held),
  ];
}

function scaleRole({ models }: DeployConfig, metadata: V1Role['metadata']): V1Role {
  const resourceNames = models.flatMap(({ resource }) => POOLS.map((pool) => deploymentName(resource, pool)));
  return {
    apiVersion: `${RBAC_GROUP}/v1`,
    kind: 'Role',
    metadata: metadata!,
    rules: [
      {
        apiGroups: ['apps'],
        resources: ['deployments/scale'],
        resourceNames,
        verbs: ['get', 'patch', 'update'],
      },
    ],
  };
}

/** @param held configuration that its pods read; another one makes new pods */
function scalerDeployment(
  config: DeployConfig,
  metadata: NonNullable<V1Deployment['metadata']>,
  parts: PodParts,
  held?: string,
): V1Deployment {
  const labels = metadata.labels!;
  const annotations = held !== undefined && {
    annotations: { 'janus.dev/config': createHash('sha256').update(held).digest('hex') },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels, ...annotations }, spec: podSpec(config, parts) },
    },
  };
}

const actuatorContainer = (scaler: DeployConfig['scaler']): PodContainer => ({
  name: 'actuator',
  args: ['actuate', '--config', `${CONFIG_FOLDER}/${CONFIG_FILE}`],
  settings: { ...scaler, resources: {} },
  rest: { volumeMounts: [{ name: CONFIG_VOLUME, mountPath: CONFIG_FOLDER, readOnly: true }] },
});
