import { Command } from 'commander';
import { DEFAULT_DRAIN_MS, startGateway } from '../../../functions/gateway/node.ts';
import { openTracer } from '../../tracing/open-tracer.ts';
import { type AccessFlags, addAccessOptions, toAccessSettings } from '../options/access-options.ts';
import { type AddressFlags, addAddressOptions, urlOf } from '../options/address-options.ts';
import { defaultFilesFolder, type FilesFlags, filesOption } from '../options/files-option.ts';
import {
  addOperationOptions,
  type OperationFlags,
  toOperationSettings,
} from '../options/operation-options.ts';
import { givenRedis, type RedisFlags, redisOption } from '../options/redis-option.ts';
import { addTraceOptions, type TraceFlags, toTraceSettings } from '../options/trace-options.ts';
import { runUntilStopped } from '../until-stopped.ts';

/** Load balancers ask `/ready` every few seconds. */
const DRAIN_NOTICE_S = 5;

type GatewayFlags = AddressFlags & AccessFlags & OperationFlags & TraceFlags & RedisFlags & FilesFlags;

export function gatewayCommand(): Command {
  const command = new Command('gateway').description(
    'Run the HTTP API for all models whose hosts share the Redis',
  );
  return addTraceOptions(addOperationOptions(addAccessOptions(addAddressOptions(command)), DRAIN_NOTICE_S))
    .addOption(redisOption())
    .addOption(filesOption('janus/files in $XDG_DATA_HOME or ~/.local/share'))
    .action((flags: GatewayFlags) => runUntilStopped(() => gateway(flags), console.log));
}

async function gateway(flags: GatewayFlags) {
  const { host, port, filesDir = defaultFilesFolder() } = flags;
  const { logLevel, drainNoticeMs, firstTokenMs } = toOperationSettings(flags);
  const tracer = await openTracer(toTraceSettings(flags), 'janus-gateway', console.error);
  const running = await startGateway({
    ...toAccessSettings(flags),
    redisUrl: await givenRedis(flags),
    host,
    port,
    limits: { firstTokenMs },
    logLevel,
    tracer,
    files: { folder: filesDir },
  });
  console.log(`files: ${filesDir}`);
  console.log(`ready: ${urlOf(host, running.port)}/v1`);
  return {
    async close() {
      await running.close(DEFAULT_DRAIN_MS, drainNoticeMs);
      await tracer?.close();
    },
  };
}
