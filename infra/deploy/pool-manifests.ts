import type { V1Container, V1Deployment, V1Volume } from '@kubernetes/client-node';
import { LIVE_PATH, READY_PATH } from '../probe/host-probe.ts';
import type { DeployConfig, ModelDeployment } from './config.ts';
import { deploymentName, type PoolName, poolLabels } from './names.ts';
import { httpProbe, podSpec } from './pod.ts';

/** Pods have addresses of their own, so these ports are free in each. */
const PROBE_PORT = 9_090;
const EXCHANGE_PORT = 7_070;
const MODEL_VOLUME = 'model';

/** The hosts of one pool of a model, one instance each. */
export function poolDeployment(config: DeployConfig, model: ModelDeployment, pool: PoolName): V1Deployment {
  const labels = poolLabels(model.resource, pool);
  const settings = model[pool];
  const volumes: V1Volume[] =
    model.claim === undefined
      ? []
      : [{ name: MODEL_VOLUME, persistentVolumeClaim: { claimName: model.claim, readOnly: true } }];
  const host = { name: 'host', args: hostArguments(model, pool), settings, rest: hostContainer(model, pool) };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: deploymentName(model.resource, pool), namespace: config.namespace, labels },
    spec: {
      // Somebody else sets the number of replicas: left out, it stays as it is when this is applied again.
      selector: { matchLabels: labels },
      // A new host serves before an old one goes, so that no expert is without a replica meanwhile.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels },
        spec: podSpec(config, { containers: [host], settings, serviceAccount: null, volumes }),
      },
    },
  };
}

/** What `janus host` is told. */
function hostArguments(model: ModelDeployment, pool: PoolName): string[] {
  const { name, folder, dtype, gate, scheduler, spareSlots, kernels, attention, experts } = model;
  const common = ['host', '--role', pool, '--model', folder, '--name', name];
  if (dtype !== undefined) common.push('--dtype', dtype);
  common.push('--gate', gate, '--scheduler', scheduler, '--kernels', kernels);
  common.push('--probe-port', String(PROBE_PORT));
  if (pool === 'experts') {
    // Kubernetes fills in the pod's own address, by which attention hosts reach it.
    const listen = ['--exchange-host', '$(POD_IP)', '--exchange-port', String(EXCHANGE_PORT)];
    return [...common, '--experts', '1', '--slots', String(experts.slots), ...listen];
  }
  // Any pool that the scaler may choose is enough to begin with.
  const own = ['--attention', '1', '--expert-instances', String(experts.least), '--spare-slots', spareSlots];
  own.push('--exchange', attention.exchange);
  if (attention.kvSlots !== undefined) own.push('--kv-slots', String(attention.kvSlots));
  if (attention.prefixCacheMib !== undefined)
    own.push('--prefix-cache-mib', String(attention.prefixCacheMib));
  return [...common, ...own];
}

function hostContainer({ folder, claim }: ModelDeployment, pool: PoolName): Partial<V1Container> {
  const exchange = pool === 'experts' ? [{ name: 'exchange', containerPort: EXCHANGE_PORT }] : [];
  return {
    env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
    ports: [{ name: 'probe', containerPort: PROBE_PORT }, ...exchange],
    ...(claim !== undefined && {
      volumeMounts: [{ name: MODEL_VOLUME, mountPath: folder, readOnly: true }],
    }),
    startupProbe: httpProbe(LIVE_PATH, 'probe', { periodSeconds: 2, failureThreshold: 60 }),
    readinessProbe: httpProbe(READY_PATH, 'probe', { periodSeconds: 5, timeoutSeconds: 3 }),
    // Reading weights may keep a host's own thread from answering for a while.
    livenessProbe: httpProbe(LIVE_PATH, 'probe', {
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 12,
    }),
  };
}
