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
import { notEmpty, wholeNumber } from '../options/values.ts';
import { runUntilStopped } from '../until-stopped.ts';

/** Time between two looks at one model: each asks the API server two questions. */
const DEFAULT_INTERVAL_MS = 3_000;
const LEAST_INTERVAL_MS = 100;
const MOST_INTERVAL_MS = 600_000;

interface ActuateFlags extends RedisFlags {
  readonly config?: string;
  readonly apiServer?: string;
  readonly tokenFile?: string;
  readonly intervalMs: number;
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
    .option(
      '--interval-ms <ms>',
      'time between two looks at what is wanted',
      wholeNumber('--interval-ms', LEAST_INTERVAL_MS, MOST_INTERVAL_MS),
      DEFAULT_INTERVAL_MS,
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
  const ends = models.map(({ name }) =>
    follow({ redis, actuator, model: name, intervalMs: flags.intervalMs }),
  );
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

interface Following {
  readonly redis: Redis;
  readonly actuator: Actuator;
  readonly model: string;
  readonly intervalMs: number;
}

/** @returns ends it; resolves when nothing is under way */
function follow({ redis, ...what }: Following): () => Promise<void> {
  const tell = tellNews(what.model);
  const common = {
    ...what,
    onOutcome: (outcome: ActuatorOutcome) => tell(describeOutcome(outcome)),
    report: (error: unknown) => tell(error instanceof Error ? error.message : String(error)),
  };
  const ending = new AbortController();
  const { signal } = ending;
  const following = raiseToLeast({ ...common, signal }).then(() =>
    signal.aborted ? async () => {} : followWanted({ ...common, redis }),
  );
  return async () => {
    ending.abort();
    const stop = await following;
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
