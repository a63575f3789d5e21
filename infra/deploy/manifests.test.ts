import {
  type KubernetesObject,
  loadAllYaml,
  type V1Container,
  type V1Deployment,
  type V1Role,
} from '@kubernetes/client-node';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { schemaErrors } from '../../test/support/kubernetes/schemas.ts';
import { actuateCommand } from '../cli/commands/actuate.ts';
import { gatewayCommand } from '../cli/commands/gateway.ts';
import { hostCommand } from '../cli/commands/host.ts';
import { scalerCommand } from '../cli/commands/scaler.ts';
import { SHUTDOWN_LIMIT_MS } from '../cli/until-stopped.ts';
import type { DeployInput } from './config.ts';
import example from './example.ts';
import { parseDeployConfig } from './load-config.ts';
import { manifests } from './manifests.ts';
import { toYaml } from './to-yaml.ts';

/** Everything that can be said. */
const full: DeployInput = {
  ...example,
  imagePullPolicy: 'Always',
  imagePullSecret: 'registry',
  command: ['/usr/bin/janus'],
  user: 4_000,
  redis: { secret: 'redis', key: 'address' },
  models: [
    ...example.models,
    {
      name: 'Org/Small_v1.5',
      folder: '/srv/small',
      dtype: 'int8',
      gate: 'experts',
      scheduler: 'eplb',
      kernels: 'onnx',
      attention: { least: 2, most: 2, prefixCacheMib: 0, exchange: 'redis' },
      experts: {
        least: 1,
        most: 1,
        slots: 128,
        resources: { gpu: { name: 'amd.com/gpu', count: 2 } },
        tolerations: [{ key: 'a', value: 'b' }],
      },
    },
  ],
  gateway: {
    port: 9_000,
    service: 'NodePort',
    drainNoticeS: 0,
    allowAnonymous: true,
    corsOrigins: ['https://chat.example', 'http://localhost:3000'],
    resources: { cpu: '500m' },
  },
};

const make = (input: DeployInput): KubernetesObject[] => manifests(parseDeployConfig(input, 'test'));
const deploymentsOf = (objects: readonly KubernetesObject[]) =>
  objects.filter((object): object is V1Deployment => object.kind === 'Deployment');
const podOf = ({ spec }: V1Deployment) => spec!.template.spec!;
const kinds = (objects: readonly KubernetesObject[]) =>
  objects.map(({ kind, metadata }) => `${kind} ${metadata!.name}`);

/** What a command reads from the arguments of a container, without running it. */
function optionsOf({ args = [] }: V1Container): Record<string, unknown> {
  const [name, ...rest] = args;
  const commands: Readonly<Record<string, () => Command>> = {
    host: hostCommand,
    gateway: gatewayCommand,
    scaler: scalerCommand,
    actuate: actuateCommand,
  };
  const command = commands[name!]!();
  const target = command.commands.find((sub) => sub.name() === rest[0]) ?? command;
  target.action(() => {}).exitOverride();
  command.parse(rest, { from: 'user' });
  expect(target.args).toEqual([]);
  return target.opts();
}

describe.each([
  ['example', example],
  ['full', full],
])('the manifests of the %s', (_, input) => {
  const objects = make(input);

  it('fit the schemas of Kubernetes', () => {
    expect(objects.flatMap(schemaErrors)).toEqual([]);
  });

  it('are written as YAML without loss: the client reads the same objects, and knows every field', () => {
    const text = toYaml(objects);
    expect(JSON.parse(JSON.stringify(loadAllYaml(text)))).toEqual(JSON.parse(JSON.stringify(objects)));
  });

  it('start what there is, with arguments that it takes', () => {
    for (const deployment of deploymentsOf(objects)) {
      for (const container of podOf(deployment).containers) {
        expect(() => optionsOf(container)).not.toThrow();
        expect(container.env![0]).toMatchObject({ name: 'REDIS_URL', valueFrom: { secretKeyRef: {} } });
      }
    }
  });

  it('give every pod longer to end than it takes, and no rights that it does not need', () => {
    for (const deployment of deploymentsOf(objects)) {
      const pod = podOf(deployment);
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(SHUTDOWN_LIMIT_MS / 1_000);
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true });
      const isScaler = deployment.metadata!.name === 'janus-scaler';
      expect(pod.automountServiceAccountToken).toBe(isScaler);
    }
  });

  it('hang together: selectors, volumes, probes and ports', () => {
    expect(new Set(kinds(objects)).size).toBe(objects.length);
    const selectors = deploymentsOf(objects).map(({ spec }) => JSON.stringify(spec!.selector.matchLabels));
    expect(new Set(selectors).size).toBe(selectors.length);
    for (const deployment of deploymentsOf(objects)) {
      const { selector, template } = deployment.spec!;
      expect(template.metadata!.labels).toMatchObject(selector.matchLabels!);
      const pod = podOf(deployment);
      const volumes = (pod.volumes ?? []).map(({ name }) => name);
      for (const container of pod.containers) {
        for (const { name } of container.volumeMounts ?? []) expect(volumes).toContain(name);
        const { startupProbe, readinessProbe, livenessProbe, ports = [] } = container;
        for (const probe of [startupProbe, readinessProbe, livenessProbe]) {
          if (probe) expect(ports.map(({ name }) => name)).toContain(probe.httpGet!.port);
        }
      }
    }
  });
});

describe('hosts', () => {
  const [attention, experts] = deploymentsOf(make(full)).filter(
    ({ spec }) => spec!.selector.matchLabels!['janus.dev/model'] === 'org-small-v1-5',
  );
  const hostOf = (deployment: V1Deployment | undefined) => podOf(deployment!).containers[0]!;

  it('are told what the configuration says of their model and pool', () => {
    const common = { model: '/srv/small', name: 'Org/Small_v1.5', dtype: 'int8', gate: 'experts' };
    expect(optionsOf(hostOf(attention))).toMatchObject({
      ...common,
      scheduler: 'eplb',
      kernels: 'onnx',
      role: 'attention',
      attention: 1,
      expertInstances: 1,
      exchange: 'redis',
      prefixCacheMib: 0,
    });
    expect(optionsOf(hostOf(experts))).toMatchObject({ ...common, role: 'experts', experts: 1, slots: 128 });
  });

  it('are probed where they answer, and exchange layer steps where they are reached', () => {
    for (const deployment of [attention, experts]) {
      const { ports, readinessProbe, livenessProbe } = hostOf(deployment);
      const port = ports!.find(({ name }) => name === 'probe')!.containerPort;
      expect(optionsOf(hostOf(deployment))).toMatchObject({ probePort: port });
      expect([readinessProbe!.httpGet!.path, livenessProbe!.httpGet!.path]).toEqual(['/ready', '/health']);
    }
    const exchange = hostOf(experts).ports!.find(({ name }) => name === 'exchange')!.containerPort;
    expect(optionsOf(hostOf(experts))).toMatchObject({ exchangeHost: '$(POD_IP)', exchangePort: exchange });
    expect(hostOf(experts).env).toContainEqual({
      name: 'POD_IP',
      valueFrom: { fieldRef: { fieldPath: 'status.podIP' } },
    });
  });

  it('have no number of replicas, which the scaler sets', () => {
    for (const deployment of [attention, experts]) expect(deployment!.spec).not.toHaveProperty('replicas');
  });

  it('get the resources and nodes that are asked for', () => {
    const pod = podOf(experts!);
    const gpu = { 'amd.com/gpu': '2' };
    expect(pod.containers[0]!.resources).toEqual({ requests: gpu, limits: gpu });
    expect(pod.tolerations).toEqual([{ key: 'a', operator: 'Equal', value: 'b' }]);
    const first = podOf(deploymentsOf(make(example))[1]!);
    expect(first.nodeSelector).toEqual({ 'cloud.example/pool': 'attention' });
    expect(first.containers[0]!.resources!.requests).toEqual({
      cpu: '8',
      memory: '24Gi',
      'nvidia.com/gpu': '1',
    });
  });
});

it('the account of the scaler may get, patch and update the scales of the pools, and nothing else', () => {
  const roles = make(full).filter((object): object is V1Role => object.kind === 'Role');
  expect(roles.map(({ rules }) => rules)).toEqual([
    [
      {
        apiGroups: ['apps'],
        resources: ['deployments/scale'],
        resourceNames: [
          'janus-qwen3-30b-a3b-attention',
          'janus-qwen3-30b-a3b-experts',
          'janus-org-small-v1-5-attention',
          'janus-org-small-v1-5-experts',
        ],
        verbs: ['get', 'patch', 'update'],
      },
    ],
  ]);
});

it('somebody else sets the sizes where the scaler only publishes them: then nobody here may', () => {
  const objects = make({ ...example, scaler: { actuator: 'publish' } });
  expect(kinds(objects)).toEqual([
    'Deployment janus-scaler',
    'Deployment janus-qwen3-30b-a3b-attention',
    'Deployment janus-qwen3-30b-a3b-experts',
    'Deployment janus-gateway',
    'Service janus-gateway',
  ]);
  const scaler = podOf(deploymentsOf(objects)[0]!);
  expect(scaler.containers.map(({ args }) => args)).toEqual([['scaler', 'run']]);
  expect(scaler.automountServiceAccountToken).toBe(false);
});

it('the same configuration gives the same text, and another one new pods of the actuator', () => {
  const reordered = Object.fromEntries(Object.entries(full).reverse()) as unknown as DeployInput;
  expect(toYaml(make(reordered))).toBe(toYaml(make(full)));
  const hashOf = (input: DeployInput) =>
    deploymentsOf(make(input))[0]!.spec!.template.metadata!.annotations!['janus.dev/config'];
  expect(hashOf(full)).not.toBe(hashOf({ ...full, namespace: 'other' }));
});

it('gateways without a shared folder of files are replaced, not joined', () => {
  const strategies = [example, full].map((input) => deploymentsOf(make(input)).at(-1)!.spec!.strategy!.type);
  expect(strategies).toEqual(['RollingUpdate', 'Recreate']);
});
