import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { Redis } from 'ioredis';
import { systemClock } from '../../../functions/clock.ts';
import type { Actuator, ActuatorOutcome } from '../../actuators/actuator.ts';
import { followWanted } from '../../actuators/follow-wanted.ts';
import { type Cluster, surroundingCluster } from '../../actuators/kubernetes/cluster.ts';
import { createKubernetesActuator } from '../../actuators/kubernetes.ts';
import { raiseToLeast } from '../../actuators/raise-to-least.ts';
import { loadDeployConfig } from '../../deploy/load-config.ts';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { notEmpty } from '../options/values.ts';
import { runUntilStopped } from '../until-stopped.ts';

/** Time between two looks at one model: each asks the API server two questions. */
const INTERVAL_MS = 3_000;

interface ActuateFlags extends RedisFlags {
  readonly config?: string;
  readonly apiServer?: string;
  readonly tokenFile?: string;
}

export function actuateCommand(): Command {
  return new Command('actuate')
    .description('Give models in a Kubernetes cluster the sizes that their scaler wants')
    .option(
      '--config <file>',
      'what `janus deploy` was given (default: janus.deploy.ts or janus.deploy.json)',
      notEmpty('--config', 'janus.deploy.ts'),
    )
    .addOption(
      new Option('--api-server <url>', 'the cluster (default: the one in whose pod this runs)').argParser(
        notEmpty('--api-server', 'http://127.0.0.1:8001'),
      ),
    )
    .option(
      '--token-file <file>',
      "token of who asks --api-server (default: none, as `kubectl proxy` adds the user's)",
      notEmpty('--token-file', '/run/token'),
    )
    .addOption(redisOption())
    .action((flags: ActuateFlags) => runUntilStopped(() => actuate(flags), console.log));
}

async function actuate(flags: ActuateFlags) {
  const { namespace, models } = await loadDeployConfig(flags.config);
  const cluster = clusterOf(flags);
  const redis = new Redis(await givenRedis(flags));
  redis.on('error', (error) => console.error(`Redis: ${error.message}`));
  const time = { nowMs: systemClock.nowMs, sleep: (ms: number) => sleep(ms) };
  const actuator = createKubernetesActuator({ cluster, namespace, models, time });
  const ends = models.map(({ name }) => follow(redis, actuator, name));
  console.log(`ready: following ${models.map(({ name }) => name).join(', ')} in ${cluster.server}`);
  return {
    async close() {
      await Promise.all(ends.map((end) => end()));
      redis.disconnect();
    },
  };
}

function clusterOf({ apiServer, tokenFile }: ActuateFlags): Cluster {
  if (apiServer === undefined) return surroundingCluster();
  return { server: apiServer.replace(/\/$/, ''), tokenFile: tokenFile ?? null, caFile: null };
}

/** @returns ends it */
function follow(redis: Redis, actuator: Actuator, model: string): () => Promise<void> {
  const tell = tellNews(model);
  const onOutcome = (outcome: ActuatorOutcome): void => tell(describeOutcome(outcome));
  const report = (error: unknown): void => tell(error instanceof Error ? error.message : String(error));
  const stopRaising = raiseToLeast({ actuator, model, intervalMs: INTERVAL_MS, onOutcome, report });
  const stop = followWanted({ redis, model, actuator, intervalMs: INTERVAL_MS, onOutcome, report });
  return async () => {
    await stopRaising();
    await stop();
  };
}

/** Says what is new: a failure that lasts would be told at every look. */
function tellNews(model: string): (text: string) => void {
  let told = '';
  return (text) => {
    if (text !== told) console.log(`${model}: ${text}`);
    told = text;
  };
}

function describeOutcome(outcome: ActuatorOutcome): string {
  if (outcome.kind === 'refused' || outcome.kind === 'failed') return `${outcome.kind}: ${outcome.reason}`;
  const { attention, experts } = outcome.sizes;
  return `${outcome.kind}: ${attention} attention, ${experts} expert instances`;
}
