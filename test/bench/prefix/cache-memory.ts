import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { readStatus } from '../../../infra/cli/status/read-status.ts';
import { HOST_TTL_MS, type PrefixCacheRecord } from '../../../shared/protocol/member.ts';

const POLL_MS = 100;

/**
 * What the only attention instance of a Redis tells of its prefix cache, in the first record of its host that was written
 * after this call.
 *
 * @throws Error when no host renews its record, or it keeps no prefixes
 */
export async function readPrefixCache(redisUrl: string): Promise<PrefixCacheRecord> {
  const redis = new Redis(redisUrl);
  const askedAtMs = Date.now();
  try {
    for (;;) {
      const { models } = await readStatus(redis);
      const host = models[0]?.hosts[0];
      if (host !== undefined && host.heartbeatAtMs > askedAtMs) {
        const record = host.attention[0]?.prefixCache;
        if (record) return record;
        throw new Error('The host keeps no prefixes.');
      }
      if (Date.now() - askedAtMs > HOST_TTL_MS) throw new Error('The host does not renew its record.');
      await sleep(POLL_MS);
    }
  } finally {
    redis.disconnect();
  }
}

/** Memory that a process holds at the moment, in MiB. */
export function residentMib(processId: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${processId}/status`, 'utf8')) ?? [];
  return Math.round(Number(kib) / 1_024);
}
