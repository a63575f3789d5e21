import { Command } from 'commander';
import { Redis } from 'ioredis';
import { systemClock } from '../../../functions/clock.ts';
import { createPoolReader } from '../../../functions/dispatcher/pool-reader.ts';
import { readDecisions, readInputs, storeTarget } from '../../../functions/scaler/scaler-store.ts';
import { SCALER_INTERVAL_MS, startScaler } from '../../../functions/scaler/start-scaler.ts';
import { DEFAULT_MODEL } from '../options/model-option.ts';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { notEmpty, wholeNumber } from '../options/values.ts';
import { formatDecisions, formatScaler } from '../scaler/format-scaler.ts';
import { sizesName } from '../scaler/pool-sizes.ts';
import { addTargetOptions, type TargetFlags, toTarget } from '../scaler/target-options.ts';
import { runUntilStopped } from '../until-stopped.ts';
import { withRedis } from '../with-redis.ts';

const LEAST_INTERVAL_MS = 100;
const MOST_INTERVAL_MS = 600_000;
const DEFAULT_LAST = 10;
const MOST_LAST = 20_000;

interface ModelFlags extends RedisFlags {
  readonly model: string;
  readonly json?: true;
}

interface RunFlags extends RedisFlags {
  readonly model?: string;
  readonly intervalMs: number;
  /** False with `--no-re-placement`. */
  readonly rePlacement: boolean;
}

interface ExplainFlags extends ModelFlags {
  readonly last: number;
}

export function scalerCommand(): Command {
  return new Command('scaler')
    .description('Choose the sizes of both pools by demand and latency target')
    .addCommand(
      addRunOptions(new Command('run')).action((flags: RunFlags) =>
        runUntilStopped(() => run(flags), console.log),
      ),
    )
    .addCommand(
      addTargetOptions(addModelOptions(new Command('set')))
        .description('Say what is wanted of a model')
        .action(set),
    )
    .addCommand(
      addModelOptions(new Command('show'))
        .description('Show target, profile and wanted sizes of a model')
        .action(show),
    )
    .addCommand(
      addModelOptions(new Command('explain'))
        .description('Show the latest decisions, and why')
        .option('--last <n>', 'decisions to show', wholeNumber('--last', 1, MOST_LAST), DEFAULT_LAST)
        .action(explain),
    );
}

const addModelOptions = (command: Command): Command =>
  command
    .option(
      '--model <name>',
      'name under which the model is served',
      notEmpty('--model', DEFAULT_MODEL),
      DEFAULT_MODEL,
    )
    .option('--json', 'JSON on stdout')
    .addOption(redisOption());

const addRunOptions = (command: Command): Command =>
  command
    .description(
      'Decide at an interval on the sizes of models with a target, and on the placements of all; several at once do what one does',
    )
    .option('--model <name>', 'only this one', notEmpty('--model', DEFAULT_MODEL))
    .option(
      '--interval-ms <ms>',
      'time between two decisions',
      wholeNumber('--interval-ms', LEAST_INTERVAL_MS, MOST_INTERVAL_MS),
      SCALER_INTERVAL_MS,
    )
    .option('--no-re-placement', 'leave placements as they are, however the activation distribution drifts')
    .addOption(redisOption());

async function run(flags: RunFlags) {
  const { model, intervalMs, rePlacement } = flags;
  const redis = new Redis(await givenRedis(flags));
  const report = (error: unknown): void =>
    console.error(`A round failed, the next one follows: ${error instanceof Error ? error.message : error}`);
  redis.on('error', report);
  const stop = startScaler({
    redis,
    pools: createPoolReader(redis),
    clock: systemClock,
    intervalMs,
    ...(model !== undefined && { model }),
    onDecision: (name, { action, wanted, reason }) => {
      if (action !== 'stay') console.log(`${name}: ${sizesName(wanted)} wanted. ${reason}`);
    },
    followsTraffic: rePlacement,
    onTraffic: (name, outcome) => {
      if (outcome.kind !== 'wanted') return;
      const { version, moves, reason } = outcome;
      console.log(`${name}: placement version ${version} wanted, ${moves} replicas to load: ${reason}`);
    },
    report,
  });
  console.log(`scaling every ${intervalMs} ms`);
  return {
    async close() {
      await stop();
      redis.disconnect();
    },
  };
}

async function set(flags: ModelFlags & TargetFlags): Promise<void> {
  const target = toTarget(flags);
  await withRedis(flags, async (redis) => {
    await storeTarget(redis, flags.model, target);
    const inputs = await readInputs(redis, flags.model);
    console.log(flags.json ? JSON.stringify(target) : formatScaler(flags.model, inputs, Date.now()));
  });
}

async function show(flags: ModelFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const inputs = await readInputs(redis, flags.model);
    console.log(flags.json ? JSON.stringify(inputs) : formatScaler(flags.model, inputs, Date.now()));
  });
}

async function explain(flags: ExplainFlags): Promise<void> {
  await withRedis(flags, async (redis) => {
    const decisions = await readDecisions(redis, flags.model, flags.last);
    console.log(flags.json ? JSON.stringify(decisions) : formatDecisions(decisions));
  });
}
