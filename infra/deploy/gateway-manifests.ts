import type { V1Deployment, V1Service, V1Volume } from '@kubernetes/client-node';
import type { DeployConfig } from './config.ts';
import { GATEWAY, partLabels } from './names.ts';
import { httpProbe, podSpec } from './pod.ts';

const FILES_FOLDER = '/var/lib/janus/files';
const FILES_VOLUME = 'files';
const SERVICE_PORT = 80;

/** The gateways, and the address at which clients find them. */
export function gatewayManifests(config: DeployConfig): [V1Deployment, V1Service] {
  const { namespace, gateway } = config;
  const labels = partLabels(GATEWAY);
  const metadata = { name: GATEWAY, namespace, labels };
  const { filesClaim } = gateway;
  const files: V1Volume =
    filesClaim === undefined
      ? { name: FILES_VOLUME, emptyDir: {} }
      : { name: FILES_VOLUME, persistentVolumeClaim: { claimName: filesClaim } };
  const container = {
    name: 'gateway',
    args: gatewayArguments(config),
    settings: gateway,
    rest: {
      ports: [{ name: 'http', containerPort: gateway.port }],
      volumeMounts: [{ name: FILES_VOLUME, mountPath: FILES_FOLDER }],
      readinessProbe: httpProbe('/ready', 'http', {
        periodSeconds: 2,
        timeoutSeconds: 2,
        failureThreshold: 2,
      }),
      // It fails while Redis is away, too, against which ending a gateway does not help: so it takes its time.
      livenessProbe: httpProbe('/health', 'http', {
        periodSeconds: 15,
        timeoutSeconds: 5,
        failureThreshold: 12,
      }),
    },
  };
  const parts = { containers: [container], settings: gateway, serviceAccount: null, volumes: [files] };
  const spec: V1Deployment['spec'] = {
    replicas: gateway.replicas,
    selector: { matchLabels: labels },
    // Two gateways at once must share their files.
    strategy: { type: filesClaim === undefined ? 'Recreate' : 'RollingUpdate' },
    template: { metadata: { labels }, spec: podSpec(config, parts) },
  };
  return [
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        type: gateway.service,
        selector: labels,
        ports: [{ name: 'http', port: SERVICE_PORT, targetPort: 'http' }],
      },
    },
  ];
}

function gatewayArguments({ gateway }: DeployConfig): string[] {
  const { port, drainNoticeS, allowAnonymous, corsOrigins } = gateway;
  const args = ['gateway', '--host', '0.0.0.0', '--port', String(port)];
  args.push('--drain-notice', String(drainNoticeS), '--files-dir', FILES_FOLDER);
  if (allowAnonymous) args.push('--allow-anonymous');
  for (const origin of corsOrigins) args.push('--cors-origin', origin);
  return args;
}
