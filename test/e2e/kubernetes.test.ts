import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type KubernetesObject,
  loadAllYaml,
  type V1ConfigMap,
  type V1Deployment,
} from '@kubernetes/client-node';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { deployCommand } from '../../infra/cli/commands/deploy.ts';
import { wantedSizesKey } from '../../shared/protocol/keys.ts';
import type { WantedSizes } from '../../shared/protocol/scaling.ts';
import { startKubernetesApi } from '../support/kubernetes/api-server.ts';
import { type Program, usePrograms } from '../support/program.ts';
import { useRedis } from '../support/redis.ts';
import { writeTinyCheckpoint } from '../support/tiny-checkpoint.ts';

const MODEL = 'tiny';
const ACCOUNT = { namespace: 'serving', name: 'janus-scaler' };
const server = useRedis();
const janus = usePrograms('infra/cli/janus.ts');
let folder: string;
let objects: KubernetesObject[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'janus-kubernetes-'));
  const { experts } = writeTinyCheckpoint(folder);
  const file = join(folder, 'deploy.json');
  const config = {
    namespace: 'serving',
    image: 'janus',
    redis: { secret: 'redis' },
    models: [
      {
        name: MODEL,
        folder,
        attention: { least: 1, most: 4 },
        experts: { least: 2, most: 8, slots: experts / 2 },
      },
    ],
  };
  writeFileSync(file, JSON.stringify(config));
  const flags = ['--target', 'kubernetes', '--dry-run', '--config', file, '--out', join(folder, 'out')];
  expect(await janus(['deploy', ...flags]).ended).toMatchObject({ status: 0, stderr: '' });
  objects = loadAllYaml(readFileSync(join(folder, 'out', 'janus.yaml'), 'utf8'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a container as its manifest says, but for what is different on this machine. */
function runContainer(
  deployment: string,
  here: Readonly<Record<string, string>>,
  more: string[] = [],
): Program {
  const found = objects.find(
    ({ kind, metadata }) => kind === 'Deployment' && metadata!.name === deployment,
  ) as V1Deployment;
  const { args = [] } = found.spec!.template.spec!.containers.at(-1)!;
  return janus([...args.map((argument) => here[argument] ?? argument), ...more], { REDIS_URL: server.url });
}

it('hosts that run as the manifests say become ready together, are probed, and end when they are told', async () => {
  const here = { '9090': '0', '7070': '0', '$(POD_IP)': '127.0.0.1' };
  const hosts = ['experts', 'experts', 'attention'].map((pool) =>
    runContainer(`janus-${MODEL}-${pool}`, here),
  );
  const probes = await Promise.all(
    hosts.map(async (host) => (await host.waitFor(/^probe: port (\d+)/m))[1]!),
  );
  const ask = async (path: string) => {
    const asked = probes.map((port) => fetch(`http://127.0.0.1:${port}${path}`));
    return (await Promise.all(asked)).map(({ status }) => status);
  };
  expect(await ask('/health')).toEqual([200, 200, 200]);
  await expect.poll(() => ask('/ready'), { timeout: 30_000 }).toEqual([200, 200, 200]);
  const [attention] = hosts.splice(2);
  attention!.kill('SIGTERM');
  expect(await attention!.ended).toMatchObject({ status: 0, stderr: '' });
  for (const host of hosts) host.kill('SIGTERM');
  expect((await Promise.all(hosts.map(({ ended }) => ended))).map(({ status }) => status)).toEqual([0, 0]);
});

it('the actuator that runs as its manifest says follows what is wanted, from the least on', async () => {
  const api = await startKubernetesApi();
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    redis.disconnect();
    await api.close();
  });
  api.apply(objects);
  api.issue('token', ACCOUNT);
  const { data } = objects.find(({ kind }) => kind === 'ConfigMap') as V1ConfigMap;
  writeFileSync(join(folder, 'mounted.json'), data!['janus.deploy.json']!);
  writeFileSync(join(folder, 'token'), 'token');
  const here = { '/etc/janus/janus.deploy.json': join(folder, 'mounted.json') };
  const flags = ['--api-server', api.url, '--token-file', join(folder, 'token'), '--interval-ms', '100'];
  const actuator = runContainer('janus-scaler', here, flags);
  await actuator.waitFor(/^tiny: applied: 1 attention, 2 expert instances/m);

  const wanted: WantedSizes = { attention: 3, experts: 99, version: 1, atMs: 0, reason: 'test' };
  await redis.set(wantedSizesKey(MODEL), JSON.stringify(wanted));
  await actuator.waitFor(/^tiny: applied: 3 attention, 8 expert instances/m);
  expect(api.replicas('serving', 'janus-tiny-experts')).toBe(8);

  actuator.kill('SIGTERM');
  expect(await actuator.ended).toMatchObject({ status: 0, stderr: '' });
});

it.each([
  [['--dry-run'], '--target is missing; give one of kubernetes.'],
  [['--target', 'kubernetes'], '--dry-run is missing: Janus writes the manifests'],
  [['--target', 'kubernetes', '--dry-run', '--config', '/none.json'], '/none.json cannot be read'],
])('deploy %j is refused', async (flags, message) => {
  await expect(deployCommand().parseAsync(flags, { from: 'user' })).rejects.toThrow(message);
});
