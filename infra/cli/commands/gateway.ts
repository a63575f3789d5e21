import { Command } from 'commander';
import { startGateway } from '../../../functions/gateway/node.ts';
import { type AddressFlags, addAddressOptions, urlOf } from '../options/address-options.ts';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { runUntilStopped } from '../until-stopped.ts';

export function gatewayCommand(): Command {
  const command = new Command('gateway').description(
    'Run the HTTP API for all models whose hosts share the Redis',
  );
  return addAddressOptions(command)
    .addOption(redisOption())
    .action((flags: AddressFlags & RedisFlags) => runUntilStopped(() => gateway(flags), console.log));
}

async function gateway(flags: AddressFlags & RedisFlags) {
  const { host, port } = flags;
  const running = await startGateway({ redisUrl: await givenRedis(flags), host, port });
  console.log(`ready: ${urlOf(host, running.port)}/v1`);
  return running;
}
