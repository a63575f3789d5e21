import { startLocalRedis } from './local-redis.ts';
import { requireRedis } from './require-redis.ts';

/** A Redis server that answers, ours or somebody's. */
export interface ResolvedRedis {
  readonly url: string;
  /** Only for a server that this process started. */
  readonly socketPath?: string;
  /** Ends the server if this process started it. */
  stop(): Promise<void>;
}

/**
 * @param url a server to use; by default `REDIS_URL`, and without it a local server that is started here
 * @throws {JanusError} when the given server does not answer, or the local one does not start
 */
export async function resolveRedis(
  url: string | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<ResolvedRedis> {
  const given = url || environment.REDIS_URL;
  if (!given) return startLocalRedis();
  await requireRedis(given);
  return { url: given, stop: async () => {} };
}
