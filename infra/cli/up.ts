import { dirname, join } from 'node:path';
import { DEFAULT_DRAIN_MS, startGateway } from '../../functions/gateway/node.ts';
import type { Host } from '../../gpu-pool/host/host.ts';
import { startHost } from '../../gpu-pool/host/start-host.ts';
import { counted } from '../../shared/text/counted.ts';
import { redactPassword } from '../redis/require-redis.ts';
import { type ResolvedRedis, resolveRedis } from '../redis/resolve-redis.ts';
import { openTracer, type TraceSettings } from '../tracing/open-tracer.ts';
import type { AccessSettings } from './options/access-options.ts';
import { type AddressFlags, urlOf } from './options/address-options.ts';
import { defaultFilesFolder } from './options/files-option.ts';
import type { OperationSettings } from './options/operation-options.ts';
import type { PoolSettings } from './options/pool-options.ts';

export interface UpOptions
  extends PoolSettings,
    AddressFlags,
    Partial<AccessSettings>,
    Partial<OperationSettings> {
  /** By default `REDIS_URL`, and without it a server that is started here. */
  readonly redis?: string | undefined;
  /** Folder of files and batches' results; by default one that lasts as long as Redis does. */
  readonly filesDir?: string | undefined;
  /** By default nothing is traced. */
  readonly traces?: TraceSettings | null;
}

/** Redis, one host with attention and experts, and a gateway, in this process. */
export interface RunningSystem {
  /** Address of the gateway, without a slash at its end. */
  readonly url: string;
  readonly redisUrl: string;
  readonly host: Host;
  /** See `Host.givenUp`. */
  readonly givenUp: Promise<string>;
  /** Lets requests under way finish, within the gateway's bound, then ends everything that was started. */
  close(): Promise<void>;
}

/**
 * Starts everything that one machine needs to answer requests; resolves when it does.
 *
 * @param log told one line per stage
 * @throws JanusError naming the option, file, field or tensor that is wrong; then nothing is left running
 */
export async function startEverything(
  options: UpOptions,
  log: (line: string) => void,
): Promise<RunningSystem> {
  const parts = new AsyncDisposableStack();
  try {
    const redis = await resolveRedis(options.redis);
    parts.defer(() => redis.stop());
    log(`redis    ${redactPassword(redis.url)}${redis.socketPath === undefined ? '' : ', started here'}`);

    const tracer = await openTracer(options.traces ?? null, 'janus', console.error);
    parts.defer(() => tracer?.close());
    // The gateway comes before the host, so that a port that is taken shows before weights are loaded. It closes first, too:
    // parts close in the reverse of the order below.
    let host: Host | undefined;
    parts.defer(async () => {
      await host?.drain();
      await host?.close();
    });
    const folder = options.filesDir ?? filesFolderOf(redis);
    const { port, allowAnonymous = false, corsOrigins = [], logLevel, drainNoticeMs = 0 } = options;
    const { firstTokenMs = Number.POSITIVE_INFINITY } = options;
    const gateway = await startGateway({
      redisUrl: redis.url,
      host: options.host,
      port,
      allowAnonymous,
      corsOrigins,
      limits: { firstTokenMs },
      logLevel,
      tracer,
      files: { folder },
    });
    parts.defer(() => gateway.close(DEFAULT_DRAIN_MS, drainNoticeMs));
    const url = urlOf(options.host, gateway.port);
    log(`gateway  ${url}`);
    log(`files    ${folder}`);

    const { model } = options;
    log(`model    ${model.name} from ${model.folder}, weights as ${model.weightForm}`);
    host = await startHost(
      { ...options, role: 'both', redisUrl: redis.url, poolExpertInstances: 0 },
      { log: (message) => log(`host     ${message}`), tracer },
    );
    log(`pools    ${describePools(host)}`);
    const { givenUp } = host;
    return { url, redisUrl: redis.url, host, givenUp, close: () => parts.disposeAsync() };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

/** A Redis that was started here keeps nothing, so its private folder, which goes with it, is the place for files. */
const filesFolderOf = ({ socketPath }: ResolvedRedis): string =>
  socketPath === undefined ? defaultFilesFolder() : join(dirname(socketPath), 'files');

function describePools(host: Host): string {
  const { attention, experts } = host.record();
  const attentionPool = counted(attention.length, 'attention instance');
  if (host.options.monolith) return `${attentionPool} with all experts, no exchange`;
  return `${attentionPool}, ${counted(experts.length, 'expert instance')} with ${experts[0]!.slots} replica slots per layer`;
}
