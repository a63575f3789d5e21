import { Command, Option } from 'commander';
import { redactPassword } from '../../redis/require-redis.ts';
import { type AddressFlags, addAddressOptions, curlLine } from '../options/address-options.ts';
import { DEFAULT_MODEL } from '../options/model-option.ts';
import { addPoolOptions, type PoolFlags, toPoolSettings } from '../options/pool-options.ts';
import { type RedisFlags, redisOption } from '../options/redis-option.ts';
import { runUntilStopped } from '../until-stopped.ts';
import { startEverything } from '../up.ts';

const MS_PER_S = 1_000;

export function upCommand(): Command {
  const command = new Command('up').description(
    'Serve a model on this machine: Redis, both pools and the HTTP API in one process',
  );
  addAddressOptions(addPoolOptions(command))
    .addOption(redisOption())
    .addOption(
      new Option('--monolith', 'attention and experts in one thread, for comparison').conflicts([
        'experts',
        'slots',
      ]),
    );
  return command.action((flags: PoolFlags & AddressFlags & RedisFlags) =>
    runUntilStopped(() => up(flags), console.log),
  );
}

async function up(flags: PoolFlags & AddressFlags & RedisFlags) {
  const startedAtMs = performance.now();
  const settings = toPoolSettings(flags, 'both');
  const { host, port, redis } = flags;
  const system = await startEverything({ ...settings, host, port, redis }, console.log);
  const seconds = ((performance.now() - startedAtMs) / MS_PER_S).toFixed(1);
  const question = flags.model === DEFAULT_MODEL ? 'Define "harbor".' : 'Hello';
  console.log(`ready    ${system.url}/v1 after ${seconds} s`);
  console.log(`\nAsk:     ${curlLine(system.url, settings.model.name, question)}`);
  console.log(`Inspect: npm run -s janus -- status --redis ${redactPassword(system.redisUrl)}`);
  return system;
}
