import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import type { Redis } from 'ioredis';
import { createDispatcher } from '../../../functions/dispatcher/dispatcher.ts';
import { storeProfile } from '../../../functions/scaler/scaler-store.ts';
import { readMembers } from '../../../gpu-pool/host/membership.ts';
import { readPlacement } from '../../../gpu-pool/host/placement-store.ts';
import { JanusError } from '../../../shared/errors/janus-error.ts';
import { modelsKey } from '../../../shared/protocol/keys.ts';
import type { HostRecord, ModelCard } from '../../../shared/protocol/member.ts';
import type { PerformanceProfile } from '../../../shared/protocol/scaling.ts';
import type { LoadMeasurement } from '../../../shared/scaling/fit-model.ts';
import { formatProfile } from '../../profile/format-profile.ts';
import { measureProfile } from '../../profile/run-profile.ts';
import { DEFAULT_MODEL } from '../options/model-option.ts';
import { MOST_INSTANCES } from '../options/pool-options.ts';
import { type RedisFlags, redisOption } from '../options/redis-option.ts';
import { notEmpty, wholeNumber } from '../options/values.ts';
import { withRedis } from '../with-redis.ts';

const DEFAULT_MOST_EXPERTS = 8;
const MOST_PROCESSORS = 4_096;

interface ProfileFlags extends RedisFlags {
  readonly model: string;
  readonly out?: string;
  readonly with?: readonly string[];
  readonly maxExperts: number;
  /** 0: each instance has its own. */
  readonly processors?: number;
  readonly json?: true;
}

export function profileCommand(): Command {
  return new Command('profile')
    .description(
      'Measure the performance model of a running model, for its scaler; takes two minutes, and no other traffic',
    )
    .option(
      '--model <name>',
      'name under which the model is served',
      notEmpty('--model', DEFAULT_MODEL),
      DEFAULT_MODEL,
    )
    .option('--out <file>', 'writes the profile there, too (default: <name>.performance.json)')
    .option(
      '--with <files...>',
      'profiles of the same model in other sizes: the costs are to fit their measurements as well',
    )
    .option(
      '--max-experts <n>',
      'largest number of expert instances that a_max is estimated for',
      wholeNumber('--max-experts', 1, MOST_INSTANCES),
      DEFAULT_MOST_EXPERTS,
    )
    .option(
      '--processors <n>',
      'processors that all instances share, 0: each has its own (default: those of this machine, where all hosts are on it)',
      wholeNumber('--processors', 0, MOST_PROCESSORS),
    )
    .option('--json', 'one JSON object on stdout')
    .addOption(redisOption())
    .action((flags: ProfileFlags) => withRedis(flags, (redis) => profile(redis, flags)));
}

async function profile(redis: Redis, flags: ProfileFlags): Promise<void> {
  const { model, maxExperts } = flags;
  const [card, placement, hosts] = await Promise.all([
    redis.hget(modelsKey, model),
    readPlacement(redis, model),
    readMembers(redis, model),
  ]);
  if (card === null || placement === null) {
    throw new JanusError(
      `${model} is not served with this Redis, or as a monolith: start its pools. \`janus status\` shows what there is.`,
    );
  }
  const earlier = (flags.with ?? []).flatMap(readLoads);
  const dispatcher = createDispatcher(redis);
  try {
    const measured = await measureProfile({
      redis,
      dispatcher,
      card: JSON.parse(card) as ModelCard,
      placement,
      processors: sharedProcessors(flags.processors, hosts),
      mostExperts: Math.max(maxExperts, placement.instances.length),
      earlier,
      log: console.error,
    });
    const file = flags.out ?? `${model.replaceAll(/[/:]/g, '-')}.performance.json`;
    await storeProfile(redis, model, measured.profile);
    await writeFile(file, `${JSON.stringify(measured.profile, null, 2)}\n`);
    console.log(
      flags.json ? JSON.stringify(measured) : `${formatProfile(measured)}\nwritten to Redis and ${file}`,
    );
  } finally {
    await dispatcher.close();
  }
}

/** What an earlier profile was fitted to. @throws JanusError naming the file where it is none */
function readLoads(file: string): readonly LoadMeasurement[] {
  let profile: Partial<PerformanceProfile>;
  try {
    profile = JSON.parse(readFileSync(file, 'utf8')) as Partial<PerformanceProfile>;
  } catch (error) {
    throw new JanusError(`--with ${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  if (Array.isArray(profile.loads)) return profile.loads;
  throw new JanusError(`--with ${file} holds no loads: give a file that \`janus profile\` has written.`);
}

function sharedProcessors(given: number | undefined, hosts: readonly HostRecord[]): number | null {
  if (given !== undefined) return given === 0 ? null : given;
  return hosts.every(isHere) ? availableParallelism() : null;
}

/** Whether a process of the host's number runs on this machine. */
function isHere({ process: id }: HostRecord): boolean {
  try {
    return process.kill(id, 0);
  } catch {
    return false;
  }
}
