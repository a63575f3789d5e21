import type {
  V1Container,
  V1EnvVar,
  V1PodSpec,
  V1Probe,
  V1Toleration,
  V1Volume,
} from '@kubernetes/client-node';
import { SHUTDOWN_LIMIT_MS } from '../cli/until-stopped.ts';
import type { DeployConfig, PodSettings } from './config.ts';

/** A pod ends itself within the limit of a shutdown; whoever kills it waits longer than that. */
const TERMINATION_MARGIN_S = 15;

/** One container of a pod, as far as pods differ. */
export interface PodContainer {
  readonly name: string;
  /** Of `janus`. */
  readonly args: readonly string[];
  readonly settings: PodSettings;
  readonly rest?: Partial<V1Container>;
}

export interface PodParts {
  readonly containers: readonly PodContainer[];
  readonly settings: PodSettings;
  /** Whose token the pod gets; null: none, since it does not ask the cluster for anything. */
  readonly serviceAccount: string | null;
  readonly volumes: readonly V1Volume[];
}

/** A pod of this configuration. */
export function podSpec(config: DeployConfig, parts: PodParts): V1PodSpec {
  const { imagePullSecret, user } = config;
  const { containers, settings, serviceAccount, volumes } = parts;
  const { nodeSelector, tolerations } = settings;
  return {
    containers: containers.map((container) => containerSpec(config, container)),
    automountServiceAccountToken: serviceAccount !== null,
    ...(serviceAccount !== null && { serviceAccountName: serviceAccount }),
    ...(imagePullSecret !== undefined && { imagePullSecrets: [{ name: imagePullSecret }] }),
    ...(Object.keys(nodeSelector).length > 0 && { nodeSelector }),
    ...(tolerations.length > 0 && { tolerations: tolerations.map(tolerationSpec) }),
    ...(volumes.length > 0 && { volumes: [...volumes] }),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: user,
      fsGroup: user,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    terminationGracePeriodSeconds: SHUTDOWN_LIMIT_MS / 1_000 + TERMINATION_MARGIN_S,
  };
}

/** A question over HTTP to a port of the container, by its name. */
export const httpProbe = (path: string, port: string, often: Omit<V1Probe, 'httpGet'>): V1Probe => ({
  httpGet: { path, port },
  ...often,
});

function containerSpec(
  { image, imagePullPolicy, command, redis }: DeployConfig,
  { name, args, settings, rest }: PodContainer,
): V1Container {
  const redisUrl: V1EnvVar = {
    name: 'REDIS_URL',
    valueFrom: { secretKeyRef: { name: redis.secret, key: redis.key } },
  };
  return {
    name,
    image,
    imagePullPolicy,
    command: [...command],
    args: [...args],
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    ...resourcesSpec(settings),
    ...rest,
    env: [redisUrl, ...(rest?.env ?? [])],
  };
}

/** Memory and GPUs are not shared, so that as much as is asked for is also the limit; processors are. */
function resourcesSpec({ resources }: PodSettings): Pick<V1Container, 'resources'> {
  const { cpu, memory, gpu } = resources;
  const exclusive: Record<string, string> = {
    ...(memory !== undefined && { memory }),
    ...(gpu !== undefined && { [gpu.name]: String(gpu.count) }),
  };
  const requests = { ...(cpu !== undefined && { cpu }), ...exclusive };
  if (Object.keys(requests).length === 0) return {};
  const limits = Object.keys(exclusive).length > 0 && { limits: exclusive };
  return { resources: { requests, ...limits } };
}

const tolerationSpec = ({ key, value, effect }: PodSettings['tolerations'][number]): V1Toleration => ({
  key,
  ...(value === undefined ? { operator: 'Exists' } : { operator: 'Equal', value }),
  ...(effect !== undefined && { effect }),
});
