import { Command } from 'commander';
import { Redis } from 'ioredis';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { formatStatus } from '../status/format-status.ts';
import { readStatus } from '../status/read-status.ts';

interface StatusFlags extends RedisFlags {
  readonly json?: true;
}

export function statusCommand(): Command {
  return new Command('status')
    .description('Show pools, instances, placement and load of all models')
    .option('--json', 'one JSON object on stdout')
    .addOption(redisOption())
    .action(status);
}

async function status(flags: StatusFlags): Promise<void> {
  const redis = new Redis(await givenRedis(flags));
  try {
    const found = await readStatus(redis);
    console.log(flags.json ? JSON.stringify(found) : formatStatus(found, Date.now()));
  } finally {
    redis.disconnect();
  }
}
