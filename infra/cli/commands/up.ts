import { Command, Option } from 'commander';
import { redactPassword } from '../../redis/require-redis.ts';
import { type AccessFlags, addAccessOptions, toAccessSettings } from '../options/access-options.ts';
import { type AddressFlags, addAddressOptions, curlLine } from '../options/address-options.ts';
import { type FilesFlags, filesOption } from '../options/files-option.ts';
import { DEFAULT_MODEL } from '../options/model-option.ts';
import {
  addOperationOptions,
  type OperationFlags,
  toOperationSettings,
} from '../options/operation-options.ts';
import { addPoolOptions, type PoolFlags, toPoolSettings } from '../options/pool-options.ts';
import { type RedisFlags, redisOption } from '../options/redis-option.ts';
import { addTraceOptions, type TraceFlags, toTraceSettings } from '../options/trace-options.ts';
import { runUntilStopped } from '../until-stopped.ts';
import { startEverything } from '../up.ts';

const MS_PER_S = 1_000;

/** A process that serves alone has no load balancer before it. */
const DRAIN_NOTICE_S = 0;

type UpFlags = PoolFlags & AddressFlags & AccessFlags & OperationFlags & TraceFlags & RedisFlags & FilesFlags;

export function upCommand(): Command {
  const command = new Command('up').description(
    'Serve a model on this machine: Redis, both pools and the HTTP API in one process',
  );
  addOperationOptions(addAccessOptions(addAddressOptions(addPoolOptions(command))), DRAIN_NOTICE_S);
  addTraceOptions(command)
    .addOption(redisOption())
    .addOption(filesOption('as of `janus gateway`; with a Redis of its own, a folder that goes with it'))
    .addOption(
      new Option('--monolith', 'attention and experts in one thread, for comparison').conflicts([
        'experts',
        'slots',
      ]),
    );
  return command.action((flags: UpFlags) => runUntilStopped(() => up(flags), console.log));
}

async function up(flags: UpFlags) {
  const startedAtMs = performance.now();
  const settings = toPoolSettings(flags, 'both');
  const { host, port, redis, filesDir } = flags;
  const traces = toTraceSettings(flags);
  const serving = { ...toAccessSettings(flags), ...toOperationSettings(flags), traces, host, port };
  const system = await startEverything({ ...settings, ...serving, redis, filesDir }, console.log);
  const seconds = ((performance.now() - startedAtMs) / MS_PER_S).toFixed(1);
  const question = flags.model === DEFAULT_MODEL ? 'Define "harbor".' : 'Hello';
  console.log(`ready    ${system.url}/v1 after ${seconds} s`);
  console.log(`\nAsk:     ${curlLine(system.url, settings.model.name, question)}`);
  console.log(`Inspect: npm run -s janus -- status --redis ${redactPassword(system.redisUrl)}`);
  return system;
}
