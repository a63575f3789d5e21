import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Redis } from 'ioredis';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import type { PoolSizes } from '../../../shared/scaling/solver.ts';
import { FOLLOW_INTERVAL_MS, followWanted } from '../../actuators/follow-wanted.ts';
import { LocalActuator } from '../../actuators/local/local-actuator.ts';
import { DEFAULT_MODEL, resolveModel } from '../options/model-option.ts';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { notEmpty, wholeNumber } from '../options/values.ts';
import { poolSizes, sizesName } from '../scaler/pool-sizes.ts';
import { runUntilStopped } from '../until-stopped.ts';

const LEAST_INTERVAL_MS = 100;
const MOST_INTERVAL_MS = 600_000;
const JANUS = fileURLToPath(new URL('../janus.ts', import.meta.url));
/** What the supervisor itself says of a host. */
const OWN_FLAGS = [
  '--role',
  '--attention',
  '--experts',
  '--expert-instances',
  '--model',
  '--name',
  '--redis',
];

interface SuperviseFlags extends RedisFlags {
  readonly model: string;
  readonly name?: string;
  readonly first: PoolSizes;
  readonly most: PoolSizes;
  readonly intervalMs: number;
}

export function superviseCommand(): Command {
  return new Command('supervise')
    .description(
      'Start and drain hosts on this machine, one process per instance, as the scaler of the model wants',
    )
    .option(
      '--model <folder or name>',
      'Hugging Face checkpoint folder, or a model in gpu-pool/models',
      notEmpty('--model', DEFAULT_MODEL),
      DEFAULT_MODEL,
    )
    .option('--name <name>', "name under which the model is served (default: the folder's base name)")
    .requiredOption(
      '--first <sizes>',
      'what runs until the scaler wants something, as 1A2E',
      poolSizes('--first'),
    )
    .requiredOption(
      '--most <sizes>',
      'what runs here at most, whatever the scaler wants',
      poolSizes('--most'),
    )
    .option(
      '--interval-ms <ms>',
      'time between two looks at what is wanted',
      wholeNumber('--interval-ms', LEAST_INTERVAL_MS, MOST_INTERVAL_MS),
      FOLLOW_INTERVAL_MS,
    )
    .argument('[flags...]', 'flags of `janus host` for every host, after --')
    .addOption(redisOption())
    .action((hostFlags: readonly string[], flags: SuperviseFlags) =>
      runUntilStopped(() => supervise(hostFlags, flags), console.log),
    );
}

async function supervise(hostFlags: readonly string[], flags: SuperviseFlags) {
  const { first, most } = flags;
  checkFlags(hostFlags, flags);
  const model = resolveModel(flags.model, flags.name);
  const redisUrl = await givenRedis(flags);
  const common = ['--model', model.folder, '--name', model.name, ...hostFlags];
  const actuator = new LocalActuator({
    model: model.name,
    least: { attention: 0, experts: 0 },
    most,
    command: (role, { experts }) => ({
      program: process.execPath,
      args: [JANUS, 'host', ...common, ...roleFlags(role, experts)],
      // It may hold a password, which a list of processes is not to show.
      environment: { ...process.env, REDIS_URL: redisUrl },
    }),
    log: console.log,
  });
  const redis = new Redis(redisUrl);
  const report = (error: unknown): void =>
    console.error(`The next look follows: ${error instanceof Error ? error.message : error}`);
  redis.on('error', report);
  await actuator.apply(model.name, first);
  const stop = followWanted({
    redis,
    model: model.name,
    actuator,
    intervalMs: flags.intervalMs,
    onOutcome: (outcome, { version }) => {
      const what = 'sizes' in outcome ? sizesName(outcome.sizes) : outcome.reason;
      console.log(`wanted sizes, version ${version}: ${outcome.kind}, ${what}`);
    },
    report,
  });
  console.log(`supervising ${model.name}: ${sizesName(first)} at first, ${sizesName(most)} at most`);
  return {
    async close() {
      await stop();
      await actuator.close();
      redis.disconnect();
    },
  };
}

/** A host that starts while a placement is in force takes that one, however many instances it is told to wait for. */
const roleFlags = (role: 'attention' | 'experts', experts: number): readonly string[] =>
  role === 'experts'
    ? ['--role', 'experts', '--experts', '1']
    : ['--role', 'attention', '--attention', '1', '--expert-instances', String(Math.max(1, experts))];

/** @throws JanusError naming the flag that is wrong */
function checkFlags(hostFlags: readonly string[], { first, most }: SuperviseFlags): void {
  if (first.experts < 1) throw new JanusError('--first has no expert instance: give at least 0A1E.');
  if (first.attention > most.attention || first.experts > most.experts) {
    throw new JanusError(
      `--first is ${sizesName(first)}, more than --most ${sizesName(most)}: lower the one or raise the other.`,
    );
  }
  const own = hostFlags.find((flag) => OWN_FLAGS.includes(flag.split('=')[0]!));
  if (own !== undefined) {
    throw new JanusError(
      `${own} stands behind --, but \`janus supervise\` gives it to hosts itself: leave it out there.`,
    );
  }
}
